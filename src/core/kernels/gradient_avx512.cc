#include "core/kernels/gradient_loops.h"

#if defined(__x86_64__)

const quantnoise::kernels::GradientKernels quantnoise::kernels::kGradientAvx512 =
    quantnoise::kernels::gradient_set("avx512");

#endif
