#include "core/kernels/attention_loops.h"

namespace quantnoise::kernels {

const AttentionKernels kAttentionPortable = attention_set("portable");
const AttentionTrainingKernels kAttentionTrainingPortable = attention_training_set("portable");

}  // namespace quantnoise::kernels
