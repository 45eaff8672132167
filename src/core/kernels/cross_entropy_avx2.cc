#include "core/kernels/cross_entropy_loops.h"

#if defined(__x86_64__)

namespace quantnoise::kernels {

const CrossEntropyKernels kCrossEntropyAvx2 = cross_entropy_set("avx2");
const CrossEntropyTrainingKernels kCrossEntropyTrainingAvx2 = cross_entropy_training_set("avx2");

}  // namespace quantnoise::kernels

#endif
