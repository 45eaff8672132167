#pragma once
// Dropout by counter-based draws: element i of a stream is dropped exactly when draw i (base/random.h) is
// below the threshold. Kernels work on a range of elements and start no threads.

#include <cstdint>

namespace quantnoise::base {
struct RandomStream;
}

namespace quantnoise::kernels {

/// What decides about an element and what a survivor is multiplied with.
struct DropoutDraws {
  uint32_t key[2] = {0, 0};
  uint32_t update = 0;
  uint32_t micro_batch = 0;
  uint32_t threshold = 0;
  float scale = 1;  ///< 1/(1 − p); 0 for p = 1, which drops everything
};

DropoutDraws dropout_draws(const base::RandomStream& stream, double probability);

/// `first`: index of the first element's draw; `count`: elements. bf16 values are passed as their bits.
/// x and out may be the same; residual (fp32, may be null) is added after the dropout.
struct DropoutKernels {
  const char* name;
  /// out[i] = scale or 0
  void (*multipliers)(const DropoutDraws& draws, uint64_t first, int64_t count, float* out);
  /// The same for rows of 64: out[64 r + i] belongs to draw first + r · row_stride + i.
  void (*multiplier_rows)(const DropoutDraws& draws, uint64_t first, uint64_t row_stride, int64_t num_rows,
                          float* out);
  void (*f32)(const DropoutDraws& draws, uint64_t first, int64_t count, const float* x, const float* residual,
              float* out);
  void (*bf16)(const DropoutDraws& draws, uint64_t first, int64_t count, const uint16_t* x, uint16_t* out);
  void (*bf16_to_f32)(const DropoutDraws& draws, uint64_t first, int64_t count, const uint16_t* x,
                      const float* residual, float* out);
  /// The same for gradients on their way back into a bf16 branch.
  void (*f32_to_bf16)(const DropoutDraws& draws, uint64_t first, int64_t count, const float* x,
                      uint16_t* out);
  /// out = dropout(max(x, 0)); NaN stays NaN.
  void (*relu_f32)(const DropoutDraws& draws, uint64_t first, int64_t count, const float* x, float* out);
  void (*relu_bf16)(const DropoutDraws& draws, uint64_t first, int64_t count, const uint16_t* x,
                    uint16_t* out);
  /// Its gradient needs no draws: where the result was positive, gradient · scale; else 0.
  void (*relu_backward_f32)(const float* gradient, const float* result, int64_t count, float scale,
                            float* out);
  void (*relu_backward_bf16)(const uint16_t* gradient, const uint16_t* result, int64_t count, float scale,
                             uint16_t* out);
};

extern const DropoutKernels kDropoutPortable;
#if defined(__x86_64__)
extern const DropoutKernels kDropoutAvx2;
extern const DropoutKernels kDropoutAvx512;
#endif

/// Of the set in use.
const DropoutKernels& dropout_kernels();

}  // namespace quantnoise::kernels
