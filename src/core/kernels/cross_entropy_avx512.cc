#include "core/kernels/cross_entropy_loops.h"

#if defined(__x86_64__)

const quantnoise::kernels::CrossEntropyKernels quantnoise::kernels::kCrossEntropyAvx512 =
    quantnoise::kernels::cross_entropy_set("avx512");

#endif
