#include "core/kernels/cross_entropy_loops.h"

namespace quantnoise::kernels {

const CrossEntropyKernels kCrossEntropyPortable = cross_entropy_set("portable");
const CrossEntropyTrainingKernels kCrossEntropyTrainingPortable = cross_entropy_training_set("portable");

}  // namespace quantnoise::kernels
