#if defined(__x86_64__)

#include "core/kernels/dense_product_loops.h"

const quantnoise::kernels::DenseProductKernels quantnoise::kernels::kDenseProductAvx2 =
    quantnoise::kernels::dense_product_set("avx2");

#endif
