#if defined(__x86_64__)

#include "core/kernels/panel_loops.h"

const quantnoise::kernels::PanelKernels quantnoise::kernels::kPanelAvx2 =
    quantnoise::kernels::panel_set("avx2");

#endif
