#include "core/kernels/affine_loops.h"

const quantnoise::kernels::AffineKernels quantnoise::kernels::kAffinePortable =
    quantnoise::kernels::affine_set("portable");
