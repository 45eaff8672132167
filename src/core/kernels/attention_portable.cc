#include "core/kernels/attention_loops.h"

const quantnoise::kernels::AttentionKernels quantnoise::kernels::kAttentionPortable =
    quantnoise::kernels::attention_set("portable");
