#include "core/kernels/affine_loops.h"

#if defined(__x86_64__)

const quantnoise::kernels::AffineKernels quantnoise::kernels::kAffineAvx512 =
    quantnoise::kernels::affine_set("avx512");

#endif
