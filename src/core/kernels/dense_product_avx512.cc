#if defined(__x86_64__)

#include "core/kernels/dense_product_loops.h"

const quantnoise::kernels::DenseProductKernels quantnoise::kernels::kDenseProductAvx512 =
    quantnoise::kernels::dense_product_set("avx512");

#endif
