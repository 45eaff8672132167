#include "core/kernels/panel_loops.h"

const quantnoise::kernels::PanelKernels quantnoise::kernels::kPanelPortable =
    quantnoise::kernels::panel_set("portable");
