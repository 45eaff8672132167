#include "quantnoise/kernels/short_panel.h"

namespace quantnoise::kernels {
namespace {

void multiply(const ShortProduct<uint8_t, int32_t>& product) noexcept {
  for (int64_t row = 0; row < product.n; ++row) {
    const uint8_t* x = product.x + row * product.x_stride;
    int32_t* y = product.y + row * product.y_stride;
    uint32_t sums[kStepRows] = {};
    for (int64_t i = 0; i < product.depth; ++i) {
      for (int column = 0; column < kStepRows; ++column) {
        const uint32_t right = product.panel[i * kStepRows + column];
        for (int k = 0; k < 4; ++k) {
          const auto byte = static_cast<int8_t>(right >> (8 * k) & 0xff);
          sums[column] += static_cast<uint32_t>(x[4 * i + k] * byte);
        }
      }
    }
    for (int column = 0; column < kStepRows; ++column) {
      const uint32_t before = product.accumulate ? static_cast<uint32_t>(y[column]) : 0;
      y[column] = static_cast<int32_t>(before + sums[column]);
    }
  }
}

}  // namespace

const BytePanelKernels kBytePanelPortable = {"portable", multiply};

}  // namespace quantnoise::kernels
