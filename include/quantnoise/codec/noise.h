#pragma once
// The noise pass: one fused walk over a weight that copies, casts and noises it. The stored weight is only
// read. Which blocks are noised is a pure function of the random stream and the block's number in the whole
// matrix (row · blocks_per_row + block), so selected rows get the very noise the whole matrix would.

#include <cstdint>
#include <span>

#include "quantnoise/base/parallel.h"
#include "quantnoise/base/random.h"

namespace quantnoise::codec {

enum class BlockNoise {
  kNone,   ///< copy and cast
  kDrop,   ///< noised blocks become 0; the others are multiplied by `survivor_scale`
  kMean,   ///< noised blocks become the mean of their elements
  kExact,  ///< noised blocks become their codeword: centroids[codes[block]]
};

struct BlockNoiseSpec {
  BlockNoise kind = BlockNoise::kNone;
  double probability = 0;    ///< of a block to be noised
  int block_size = 8;        ///< neighbouring elements of a row; divides cols
  float survivor_scale = 1;  ///< kDrop: 1 / (1 − probability), or 1
  base::RandomStream stream;
  int64_t zero_row = -1;             ///< a row that stays as it is stored (padding); −1: none
  std::span<const float> centroids;  ///< kExact: (num_centroids, block_size)
  std::span<const uint16_t> codes;   ///< kExact: (rows, cols / block_size)
};

/// out = noised(weight). weight, out: (rows, cols) row-major.
void apply_block_noise(const BlockNoiseSpec& spec, const float* weight, int64_t rows, int64_t cols,
                       float* out, const base::ParallelFor& parallel_for);
/// The same, cast to bf16 bits (round to nearest even) in the same pass.
void apply_block_noise(const BlockNoiseSpec& spec, const float* weight, int64_t rows, int64_t cols,
                       uint16_t* out, const base::ParallelFor& parallel_for);
/// Row i of out = row row_indices[i] of the noised matrix; out: (row_indices.size(), cols).
void apply_block_noise_rows(const BlockNoiseSpec& spec, const float* weight, int64_t rows, int64_t cols,
                            std::span<const int64_t> row_indices, float* out,
                            const base::ParallelFor& parallel_for);

/// Whether block `block_index` is noised: the definition the kernels are tested against.
inline bool is_noised(const BlockNoiseSpec& spec, uint64_t block_index) {
  return spec.stream.bits(block_index) < base::bernoulli_threshold(spec.probability);
}

}  // namespace quantnoise::codec
