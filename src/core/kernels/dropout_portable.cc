#include "core/kernels/dropout_loops.h"

const quantnoise::kernels::DropoutKernels quantnoise::kernels::kDropoutPortable =
    quantnoise::kernels::dropout_set("portable");
