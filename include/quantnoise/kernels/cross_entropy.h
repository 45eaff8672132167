#pragma once
// One row of softmax cross-entropy: loss and gradient in one walk. Ranges only, no threads.

#include <cstdint>

namespace quantnoise::kernels {

struct CrossEntropyKernels {
  const char* name;
  /// −log softmax(logits)[target], natural log. With `gradient`, logits are replaced by softmax −
  /// one_hot(target). NaN among the logits gives NaN. bf16 rows (bits) are widened to `scratch` (count
  /// floats) first.
  float (*row_f32)(float* logits, int64_t count, int64_t target, bool gradient);
  float (*row_bf16)(uint16_t* logits, int64_t count, int64_t target, bool gradient, float* scratch);
};

extern const CrossEntropyKernels kCrossEntropyPortable;
#if defined(__x86_64__)
extern const CrossEntropyKernels kCrossEntropyAvx2;
extern const CrossEntropyKernels kCrossEntropyAvx512;
#endif

/// The set that kernel_table() chose.
const CrossEntropyKernels& cross_entropy_kernels();

}  // namespace quantnoise::kernels
