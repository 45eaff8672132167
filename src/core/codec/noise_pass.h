#pragma once
// One walk of block noise over a range of rows.

#include <algorithm>
#include <cstdint>

#include "quantnoise/base/error.h"
#include "quantnoise/codec/noise.h"
#include "quantnoise/kernels/noise.h"

namespace quantnoise::codec {

/// What the kernels want to know. kind: the spec's, or kNone for rows that stay.
kernels::NoiseArgs block_noise_args(const BlockNoiseSpec& spec, BlockNoise kind);

/// Errors: kConfig.
void check_block_noise(const BlockNoiseSpec& spec, int64_t rows, int64_t cols);

inline void run_block_noise(const kernels::NoiseArgs& args, const float* in, uint64_t first, int64_t count,
                            float* out) {
  kernels::noise_kernels().noise_f32(args, in, first, count, out);
}
inline void run_block_noise(const kernels::NoiseArgs& args, const float* in, uint64_t first, int64_t count,
                            uint16_t* out) {
  kernels::noise_kernels().noise_bf16(args, in, first, count, out);
}

/// The spec's spans must outlive the pass.
template <typename Out>
class BlockNoisePass {
 public:
  BlockNoisePass(const BlockNoiseSpec& spec, int64_t rows, int64_t cols)
      : cols_(cols), zero_row_(spec.zero_row) {
    check_block_noise(spec, rows, cols);
    noisy_ = block_noise_args(spec, spec.kind);
    plain_ = block_noise_args(spec, BlockNoise::kNone);
    blocks_per_row_ = cols / spec.block_size;
  }

  /// Rows [begin, end) of the weight, which lie at `in`, → their noised values at `out`.
  void rows(int64_t begin, int64_t end, const float* in, Out* out) const {
    const int64_t plain_begin = std::clamp(zero_row_, begin, end);
    const int64_t plain_end = zero_row_ >= begin && zero_row_ < end ? zero_row_ + 1 : plain_begin;
    run(noisy_, begin, plain_begin, in, out);
    run(plain_, plain_begin, plain_end, in + (plain_begin - begin) * cols_,
        out + (plain_begin - begin) * cols_);
    run(noisy_, plain_end, end, in + (plain_end - begin) * cols_, out + (plain_end - begin) * cols_);
  }

 private:
  void run(const kernels::NoiseArgs& args, int64_t begin, int64_t end, const float* in, Out* out) const {
    if (begin >= end) return;
    run_block_noise(args, in, static_cast<uint64_t>(begin * blocks_per_row_), (end - begin) * blocks_per_row_,
                    out);
  }

  kernels::NoiseArgs noisy_;
  kernels::NoiseArgs plain_;
  int64_t cols_;
  int64_t blocks_per_row_ = 0;
  int64_t zero_row_;
};

}  // namespace quantnoise::codec
