#include "core/kernels/attention_loops.h"

#if defined(__x86_64__)

namespace quantnoise::kernels {

const AttentionKernels kAttentionAvx2 = attention_set("avx2");
const AttentionTrainingKernels kAttentionTrainingAvx2 = attention_training_set("avx2");

}  // namespace quantnoise::kernels

#endif
