#include "core/kernels/gradient_loops.h"

const quantnoise::kernels::GradientKernels quantnoise::kernels::kGradientPortable =
    quantnoise::kernels::gradient_set("portable");
