#include "core/kernels/cross_entropy_loops.h"

#if defined(__x86_64__)

namespace quantnoise::kernels {

const CrossEntropyKernels kCrossEntropyAvx512 = cross_entropy_set("avx512");
const CrossEntropyTrainingKernels kCrossEntropyTrainingAvx512 = cross_entropy_training_set("avx512");

}  // namespace quantnoise::kernels

#endif
