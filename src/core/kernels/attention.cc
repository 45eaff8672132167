#include "quantnoise/kernels/attention.h"

#include "core/kernels/same_set.h"

namespace quantnoise::kernels {

const AttentionKernels& attention_kernels() {
#if defined(__x86_64__)
  static const AttentionKernels& chosen = same_set(kAttentionPortable, kAttentionAvx2, kAttentionAvx512);
#else
  static const AttentionKernels& chosen = kAttentionPortable;
#endif
  return chosen;
}

const AttentionTrainingKernels& attention_training_kernels() {
#if defined(__x86_64__)
  static const AttentionTrainingKernels& chosen =
      same_set(kAttentionTrainingPortable, kAttentionTrainingAvx2, kAttentionTrainingAvx512);
#else
  static const AttentionTrainingKernels& chosen = kAttentionTrainingPortable;
#endif
  return chosen;
}

}  // namespace quantnoise::kernels
