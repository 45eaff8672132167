#include "core/kernels/dense_product_loops.h"

const quantnoise::kernels::DenseProductKernels quantnoise::kernels::kDenseProductPortable =
    quantnoise::kernels::dense_product_set("portable");
