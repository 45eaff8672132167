#include "core/kernels/kernel_functions.h"

namespace quantnoise::kernels::portable {

void accumulate(const float* blocks, const uint16_t* codes, int64_t num_blocks, int block_size, double* sums,
                int64_t* counts) noexcept {
  for (int64_t i = 0; i < num_blocks; ++i) {
    double* sum = sums + int64_t{codes[i]} * block_size;
    const float* block = blocks + i * block_size;
    for (int j = 0; j < block_size; ++j) sum[j] += block[j];
  }
  if (counts == nullptr) return;
  for (int64_t i = 0; i < num_blocks; ++i) ++counts[codes[i]];
}

}  // namespace quantnoise::kernels::portable
