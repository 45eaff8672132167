#include "core/kernels/layer_norm_loops.h"

#if defined(__x86_64__)

namespace quantnoise::kernels {

const LayerNormKernels kLayerNormAvx2 = layer_norm_set("avx2");
const LayerNormTrainingKernels kLayerNormTrainingAvx2 = layer_norm_training_set("avx2");

}  // namespace quantnoise::kernels

#endif
