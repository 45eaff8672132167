#include "core/kernels/kernel_functions.h"

namespace quantnoise::kernels::portable {

namespace {

template <typename T>
void copy_centroids(const uint16_t* codes, int64_t num_blocks, const T* centroids, int block_size, T* out) {
  for (int64_t i = 0; i < num_blocks; ++i) {
    const T* centroid = centroids + int64_t{codes[i]} * block_size;
    for (int j = 0; j < block_size; ++j) out[i * block_size + j] = centroid[j];
  }
}

}  // namespace

void decode_f32(const uint16_t* codes, int64_t num_blocks, const float* centroids, int block_size,
                float* out) noexcept {
  copy_centroids(codes, num_blocks, centroids, block_size, out);
}

void decode_u16(const uint16_t* codes, int64_t num_blocks, const uint16_t* centroids, int block_size,
                uint16_t* out) noexcept {
  copy_centroids(codes, num_blocks, centroids, block_size, out);
}

}  // namespace quantnoise::kernels::portable
