#include "core/kernels/cross_entropy_loops.h"

const quantnoise::kernels::CrossEntropyKernels quantnoise::kernels::kCrossEntropyPortable =
    quantnoise::kernels::cross_entropy_set("portable");
