#pragma once
// The noise of the product codes, on a range of blocks; no threads. Every set gives the same bits.

#include <cstdint>

namespace quantnoise::kernels {

enum class NoiseKind { kNone, kDrop, kMean, kExact };

/// What the noise pass does to a range of blocks; draws as base::RandomStream defines them.
struct NoiseArgs {
  NoiseKind kind = NoiseKind::kNone;
  int block_size = 8;
  float survivor_scale = 1;  ///< kDrop: factor of the blocks that stay
  uint32_t key[2] = {0, 0};
  uint32_t update = 0;
  uint32_t micro_batch = 0;
  uint64_t threshold = 0;            ///< a block is noised when its draw is below; 0 … 2^32
  const float* centroids = nullptr;  ///< kExact: (num_centroids, block_size)
  const uint16_t* codes = nullptr;   ///< kExact: of the whole matrix, by block number
};

struct NoiseKernels {
  const char* name;

  /// weight, out: the num_blocks blocks from number first_block on.
  void (*noise_f32)(const NoiseArgs& args, const float* weight, uint64_t first_block, int64_t num_blocks,
                    float* out) noexcept;
  /// The same, rounded to bf16 (nearest even).
  void (*noise_bf16)(const NoiseArgs& args, const float* weight, uint64_t first_block, int64_t num_blocks,
                     uint16_t* out) noexcept;
};

extern const NoiseKernels kNoisePortable;
#if defined(__x86_64__)
extern const NoiseKernels kNoiseAvx2;
extern const NoiseKernels kNoiseAvx512;
#elif defined(__aarch64__)
extern const NoiseKernels kNoiseNeon;
#endif

/// Of the set in use.
const NoiseKernels& noise_kernels();

}  // namespace quantnoise::kernels
