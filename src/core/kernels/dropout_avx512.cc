#include "core/kernels/dropout_loops.h"

#if defined(__x86_64__)

const quantnoise::kernels::DropoutKernels quantnoise::kernels::kDropoutAvx512 =
    quantnoise::kernels::dropout_set("avx512");

#endif
