#include "core/kernels/attention_loops.h"

#if defined(__x86_64__)

const quantnoise::kernels::AttentionKernels quantnoise::kernels::kAttentionAvx2 =
    quantnoise::kernels::attention_set("avx2");

#endif
