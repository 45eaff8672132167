#include "core/kernels/kernel_functions.h"

#if QN_KERNELS_NEON

#include "core/kernels/decode_simd.h"

namespace quantnoise::kernels::neon {

void decode_f32(const uint16_t* codes, int64_t num_blocks, const float* centroids, int block_size,
                float* out) noexcept {
  if (copy_entries_of(4 * block_size, codes, num_blocks, centroids, out)) return;
  portable::decode_f32(codes, num_blocks, centroids, block_size, out);
}

void decode_u16(const uint16_t* codes, int64_t num_blocks, const uint16_t* centroids, int block_size,
                uint16_t* out) noexcept {
  if (copy_entries_of(2 * block_size, codes, num_blocks, centroids, out)) return;
  portable::decode_u16(codes, num_blocks, centroids, block_size, out);
}

}  // namespace quantnoise::kernels::neon

#endif
