#pragma once
// One row of softmax cross-entropy: loss and gradient in one walk. Ranges only, no threads.

#include <cstdint>

namespace quantnoise::kernels {

struct CrossEntropyKernels {
  const char* name;
  /// −log softmax(logits)[target], natural log. With `gradient`, logits are replaced by softmax −
  /// one_hot(target). NaN among the logits gives NaN.
  float (*row_f32)(float* logits, int64_t count, int64_t target, bool gradient);
};

struct CrossEntropyTrainingKernels {
  const char* name;
  /// The same for bf16 rows (bits), which are widened to `scratch` (count floats) first.
  float (*row_bf16)(uint16_t* logits, int64_t count, int64_t target, bool gradient, float* scratch);
};

extern const CrossEntropyKernels kCrossEntropyPortable;
extern const CrossEntropyTrainingKernels kCrossEntropyTrainingPortable;
#if defined(__x86_64__)
extern const CrossEntropyKernels kCrossEntropyAvx2;
extern const CrossEntropyKernels kCrossEntropyAvx512;
extern const CrossEntropyTrainingKernels kCrossEntropyTrainingAvx2;
extern const CrossEntropyTrainingKernels kCrossEntropyTrainingAvx512;
#endif

// Of the set in use.
const CrossEntropyKernels& cross_entropy_kernels();
const CrossEntropyTrainingKernels& cross_entropy_training_kernels();

}  // namespace quantnoise::kernels
