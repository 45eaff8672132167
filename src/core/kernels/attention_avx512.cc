#include "core/kernels/attention_loops.h"

#if defined(__x86_64__)

namespace quantnoise::kernels {

const AttentionKernels kAttentionAvx512 = attention_set("avx512");
const AttentionTrainingKernels kAttentionTrainingAvx512 = attention_training_set("avx512");

}  // namespace quantnoise::kernels

#endif
