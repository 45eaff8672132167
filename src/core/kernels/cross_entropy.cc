#include "quantnoise/kernels/cross_entropy.h"

#include "core/kernels/same_set.h"

namespace quantnoise::kernels {

const CrossEntropyKernels& cross_entropy_kernels() {
#if defined(__x86_64__)
  static const CrossEntropyKernels& chosen =
      same_set(kCrossEntropyPortable, kCrossEntropyAvx2, kCrossEntropyAvx512);
#else
  static const CrossEntropyKernels& chosen = kCrossEntropyPortable;
#endif
  return chosen;
}

const CrossEntropyTrainingKernels& cross_entropy_training_kernels() {
#if defined(__x86_64__)
  static const CrossEntropyTrainingKernels& chosen =
      same_set(kCrossEntropyTrainingPortable, kCrossEntropyTrainingAvx2, kCrossEntropyTrainingAvx512);
#else
  static const CrossEntropyTrainingKernels& chosen = kCrossEntropyTrainingPortable;
#endif
  return chosen;
}

}  // namespace quantnoise::kernels
