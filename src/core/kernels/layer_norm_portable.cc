#include "core/kernels/layer_norm_loops.h"

namespace quantnoise::kernels {

const LayerNormKernels kLayerNormPortable = layer_norm_set("portable");
const LayerNormTrainingKernels kLayerNormTrainingPortable = layer_norm_training_set("portable");

}  // namespace quantnoise::kernels
