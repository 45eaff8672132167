#include "core/kernels/kernel_functions.h"

#if QN_KERNELS_X86

#include <immintrin.h>

namespace quantnoise::kernels::avx2 {

namespace {

template <int kBlockSize>
void add_blocks(const float* blocks, const uint16_t* codes, int64_t num_blocks, double* sums,
                int64_t* counts) {
  for (int64_t i = 0; i < num_blocks; ++i) {
    double* sum = sums + int64_t{codes[i]} * kBlockSize;
    const float* block = blocks + i * kBlockSize;
    for (int j = 0; j < kBlockSize; j += 4) {
      const __m256d values = _mm256_cvtps_pd(_mm_loadu_ps(block + j));
      _mm256_storeu_pd(sum + j, _mm256_add_pd(_mm256_loadu_pd(sum + j), values));
    }
    if (counts != nullptr) ++counts[codes[i]];
  }
}

}  // namespace

void accumulate(const float* blocks, const uint16_t* codes, int64_t num_blocks, int block_size, double* sums,
                int64_t* counts) noexcept {
  if (block_size == 4) return add_blocks<4>(blocks, codes, num_blocks, sums, counts);
  if (block_size == 8) return add_blocks<8>(blocks, codes, num_blocks, sums, counts);
  if (block_size == 16) return add_blocks<16>(blocks, codes, num_blocks, sums, counts);
  portable::accumulate(blocks, codes, num_blocks, block_size, sums, counts);
}

}  // namespace quantnoise::kernels::avx2

#endif
