#pragma once
// Products of many rows with decoded panels of narrow elements: two bf16 or four bytes in every 32-bit
// element of a panel, neighbours along the inputs. Panels of 64 rows come from PanelKernels::decode with
// centroids of such elements, or from turning rows. Ranges only, no threads.

#include <cstdint>

#include "quantnoise/kernels/panel.h"

namespace quantnoise::kernels {

/// Rows of left operands and of sums. Strides in elements.
template <typename Element, typename Sum>
struct ShortProduct {
  const Element* x = nullptr;  ///< (n, x_stride): the depth's elements of every row
  int64_t x_stride = 0;
  int64_t n = 0;
  int64_t depth = 0;                ///< 32-bit elements of the panel
  const uint32_t* panel = nullptr;  ///< (depth, 64)
  Sum* y = nullptr;                 ///< (n, 64)
  int64_t y_stride = 0;
  bool accumulate = false;  ///< add to what y has
};

/// bf16 by the processor's own products, sums in fp32; numbers below 2^-126 count as zero.
struct Bf16PanelKernels {
  const char* name;
  /// To the nearest, ties to even; NaN stays NaN.
  void (*round)(const float* from, int64_t count, uint16_t* out) noexcept;
  void (*multiply)(const ShortProduct<uint16_t, float>& product) noexcept;
};

/// Unsigned bytes times signed ones, exactly: sums modulo 2^32.
struct BytePanelKernels {
  const char* name;
  void (*multiply)(const ShortProduct<uint8_t, int32_t>& product) noexcept;
};

#if defined(__x86_64__)
extern const Bf16PanelKernels kBf16PanelAvx512;
extern const BytePanelKernels kBytePanelAvx2;
extern const BytePanelKernels kBytePanelAvx512Vnni;
#endif
extern const BytePanelKernels kBytePanelPortable;

/// Null where the processor has no such products or the set in use is not one of AVX-512.
const Bf16PanelKernels* bf16_panel_kernels();

/// Of the set in use.
const BytePanelKernels& byte_panel_kernels();

}  // namespace quantnoise::kernels
