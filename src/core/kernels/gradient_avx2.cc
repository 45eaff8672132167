#include "core/kernels/gradient_loops.h"

#if defined(__x86_64__)

const quantnoise::kernels::GradientKernels quantnoise::kernels::kGradientAvx2 =
    quantnoise::kernels::gradient_set("avx2");

#endif
