#if defined(__x86_64__)

#include "core/kernels/panel_loops.h"

const quantnoise::kernels::PanelKernels quantnoise::kernels::kPanelAvx512 =
    quantnoise::kernels::panel_set("avx512");

#endif
