#include "core/kernels/layer_norm_loops.h"

#if defined(__x86_64__)

namespace quantnoise::kernels {

const LayerNormKernels kLayerNormAvx512 = layer_norm_set("avx512");
const LayerNormTrainingKernels kLayerNormTrainingAvx512 = layer_norm_training_set("avx512");

}  // namespace quantnoise::kernels

#endif
