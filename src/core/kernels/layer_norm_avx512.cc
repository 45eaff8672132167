#include "core/kernels/layer_norm_loops.h"

#if defined(__x86_64__)

const quantnoise::kernels::LayerNormKernels quantnoise::kernels::kLayerNormAvx512 =
    quantnoise::kernels::layer_norm_set("avx512");

#endif
