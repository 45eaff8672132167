#include "core/kernels/kernel_functions.h"

#if QN_KERNELS_NEON

#include <arm_neon.h>

namespace quantnoise::kernels::neon {

void accumulate(const float* blocks, const uint16_t* codes, int64_t num_blocks, int block_size, double* sums,
                int64_t* counts) noexcept {
  if (block_size % 4 != 0) return portable::accumulate(blocks, codes, num_blocks, block_size, sums, counts);
  for (int64_t i = 0; i < num_blocks; ++i) {
    double* sum = sums + int64_t{codes[i]} * block_size;
    const float* block = blocks + i * block_size;
    for (int j = 0; j < block_size; j += 4) {
      const float32x4_t values = vld1q_f32(block + j);
      vst1q_f64(sum + j, vaddq_f64(vld1q_f64(sum + j), vcvt_f64_f32(vget_low_f32(values))));
      vst1q_f64(sum + j + 2, vaddq_f64(vld1q_f64(sum + j + 2), vcvt_high_f64_f32(values)));
    }
    if (counts != nullptr) ++counts[codes[i]];
  }
}

}  // namespace quantnoise::kernels::neon

#endif
