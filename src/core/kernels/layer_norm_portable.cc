#include "core/kernels/layer_norm_loops.h"

const quantnoise::kernels::LayerNormKernels quantnoise::kernels::kLayerNormPortable =
    quantnoise::kernels::layer_norm_set("portable");
