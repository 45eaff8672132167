#include "quantnoise/kernels/panel.h"

#include "core/kernels/same_set.h"

namespace quantnoise::kernels {

int padded_block_size(int block_size) { return block_size <= 4 ? 4 : block_size <= 8 ? 8 : 16; }

const PanelKernels& panel_kernels() {
#if defined(__x86_64__)
  static const PanelKernels& chosen = same_set(kPanelPortable, kPanelAvx2, kPanelAvx512);
#else
  static const PanelKernels& chosen = kPanelPortable;
#endif
  return chosen;
}

}  // namespace quantnoise::kernels
