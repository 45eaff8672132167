#include "core/kernels/dropout_loops.h"

#if defined(__x86_64__)

const quantnoise::kernels::DropoutKernels quantnoise::kernels::kDropoutAvx2 =
    quantnoise::kernels::dropout_set("avx2");

#endif
