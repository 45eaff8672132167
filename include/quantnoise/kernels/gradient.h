#pragma once
// Passes over gradients: widening, sums of squares, sums of columns, the gradient of relu. Ranges only, no
// threads. bf16 values are passed as their bits; sums are fp32.

#include <cstdint>

namespace quantnoise::kernels {

struct GradientKernels {
  const char* name;
  /// out[i] = x[i]; past the caches, for results that are read again only after many others.
  void (*widen)(const uint16_t* x, int64_t count, float* out);
  /// Σ x[i]²: lanes in fp32, which suits up to some 10^5 elements, their sum in double.
  double (*square_sum)(const float* x, int64_t count);
  /// sums[c] += Σ_r x(r, c); x: (rows, cols).
  void (*add_rows_f32)(const float* x, int64_t rows, int64_t cols, float* sums);
  void (*add_rows_bf16)(const uint16_t* x, int64_t rows, int64_t cols, float* sums);
  /// out = 0 where the result of relu was, else gradient (where it was NaN, too); sums as above, of out. out
  /// may be gradient.
  void (*relu_backward_f32)(const float* gradient, const float* result, int64_t rows, int64_t cols,
                            float* out, float* sums);
  void (*relu_backward_bf16)(const uint16_t* gradient, const uint16_t* result, int64_t rows, int64_t cols,
                             uint16_t* out, float* sums);
};

extern const GradientKernels kGradientPortable;
#if defined(__x86_64__)
extern const GradientKernels kGradientAvx2;
extern const GradientKernels kGradientAvx512;
#endif

/// Of the set in use.
const GradientKernels& gradient_kernels();

}  // namespace quantnoise::kernels
