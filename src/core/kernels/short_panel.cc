#include "quantnoise/kernels/short_panel.h"

#include "core/kernels/same_set.h"

namespace quantnoise::kernels {

const Bf16PanelKernels* bf16_panel_kernels() {
#if defined(__x86_64__)
  static const Bf16PanelKernels* const chosen =
      has_bf16_products() && std::string_view(instruction_set().name).starts_with("avx512")
          ? &kBf16PanelAvx512
          : nullptr;
  return chosen;
#else
  return nullptr;
#endif
}

const BytePanelKernels& byte_panel_kernels() {
#if defined(__x86_64__)
  static const BytePanelKernels& chosen =
      same_set(kBytePanelPortable, kBytePanelAvx2, kBytePanelAvx2, kBytePanelAvx512Vnni);
#else
  static const BytePanelKernels& chosen = kBytePanelPortable;
#endif
  return chosen;
}

}  // namespace quantnoise::kernels
