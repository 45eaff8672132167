#pragma once
// Product codes to their centroids. Ranges only, no threads. Every set gives the same bits.

#include <cstdint>

namespace quantnoise::kernels {

struct DecodeKernels {
  const char* name;

  /// out[i] = centroids[codes[i]]; out: (num_blocks, block_size).
  void (*decode_f32)(const uint16_t* codes, int64_t num_blocks, const float* centroids, int block_size,
                     float* out) noexcept;
  /// The same for centroids of 16 bits an element.
  void (*decode_u16)(const uint16_t* codes, int64_t num_blocks, const uint16_t* centroids, int block_size,
                     uint16_t* out) noexcept;
};

extern const DecodeKernels kDecodePortable;
#if defined(__x86_64__)
extern const DecodeKernels kDecodeAvx2;
extern const DecodeKernels kDecodeAvx512;
#elif defined(__aarch64__)
extern const DecodeKernels kDecodeNeon;
#endif

/// Of the set in use.
const DecodeKernels& decode_kernels();

}  // namespace quantnoise::kernels
