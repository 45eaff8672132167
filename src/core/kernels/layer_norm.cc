#include "quantnoise/kernels/layer_norm.h"

#include "core/kernels/same_set.h"

namespace quantnoise::kernels {

const LayerNormKernels& layer_norm_kernels() {
#if defined(__x86_64__)
  static const LayerNormKernels& chosen = same_set(kLayerNormPortable, kLayerNormAvx2, kLayerNormAvx512);
#else
  static const LayerNormKernels& chosen = kLayerNormPortable;
#endif
  return chosen;
}

const LayerNormTrainingKernels& layer_norm_training_kernels() {
#if defined(__x86_64__)
  static const LayerNormTrainingKernels& chosen =
      same_set(kLayerNormTrainingPortable, kLayerNormTrainingAvx2, kLayerNormTrainingAvx512);
#else
  static const LayerNormTrainingKernels& chosen = kLayerNormTrainingPortable;
#endif
  return chosen;
}

}  // namespace quantnoise::kernels
