#pragma once
// Product codes times vectors in plain fp32: for many rows of input a panel of the weight is decoded into the
// cache and multiplied; for codebooks too large for look-up tables one vector is multiplied centroid by
// centroid. Ranges only, no threads. Sets differ by the rounding of fused multiply-adds.

#include <cstdint>

#include "quantnoise/kernels/lookup.h"

namespace quantnoise::kernels {

/// The codes of 64 rows: those of block 0 side by side, those of the next block block_stride bytes further.
struct CodeStep {
  const uint8_t* codes = nullptr;
  int64_t block_stride = 0;
  int code_bits = 8;  ///< 4 (two rows a byte, the low half first), 8 or 16 (native byte order)
};

/// Codebook in fp32, every centroid padded with zeros to `stride` elements.
struct PaddedCentroids {
  const float* values = nullptr;  ///< (num_centroids, stride)
  int stride = 0;                 ///< 4, 8 or 16
  int block_size = 0;             ///< 1 … stride
};
int padded_block_size(int block_size);

struct PanelKernels {
  const char* name;

  /// out (num_blocks · block_size, 64): column r is row r of the weight. Up to three rows behind the end may
  /// be overwritten. The step's first code is that of the first block wanted.
  void (*decode)(const CodeStep& step, int64_t num_blocks, const PaddedCentroids& centroids,
                 float* out) noexcept;
  /// y (n, 64) = or += x (n, depth) · panel (depth, 64); rows of x and y lie x_stride and y_stride floats
  /// apart.
  void (*multiply)(const float* x, int64_t x_stride, int64_t n, int64_t depth, const float* panel, float* y,
                   int64_t y_stride, bool accumulate) noexcept;
  /// y (64) = Σ over the blocks of centroid · x; x: (num_blocks, stride), padded like the centroids.
  void (*multiply_vector)(const CodeStep& step, int64_t num_blocks, const PaddedCentroids& centroids,
                          const float* x, float* y) noexcept;
};

extern const PanelKernels kPanelPortable;
#if defined(__x86_64__)
extern const PanelKernels kPanelAvx2;
extern const PanelKernels kPanelAvx512;
#endif

/// Of the set in use.
const PanelKernels& panel_kernels();

}  // namespace quantnoise::kernels
