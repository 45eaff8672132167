#if defined(__x86_64__)

#include <immintrin.h>

#include "quantnoise/kernels/short_panel.h"

namespace quantnoise::kernels {
namespace {

constexpr int kTileRows = 6;  // times four vectors leave registers for the operands
constexpr int kVectors = kStepRows / 16;

template <int kRows>
void multiply_tile(const ShortProduct<uint8_t, int32_t>& product, int64_t row) {
  const uint8_t* x = product.x + row * product.x_stride;
  int32_t* y = product.y + row * product.y_stride;
  __m512i sums[kRows][kVectors];
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      sums[r][v] =
          product.accumulate ? _mm512_loadu_si512(y + r * product.y_stride + 16 * v) : _mm512_setzero_si512();
  }
  for (int64_t i = 0; i < product.depth; ++i) {
    __m512i right[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) right[v] = _mm512_loadu_si512(product.panel + i * kStepRows + 16 * v);
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
      int32_t four;
      __builtin_memcpy(&four, x + r * product.x_stride + 4 * i, sizeof(four));
      const __m512i left = _mm512_set1_epi32(four);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sums[r][v] = _mm512_dpbusd_epi32(sums[r][v], left, right[v]);
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) _mm512_storeu_si512(y + r * product.y_stride + 16 * v, sums[r][v]);
  }
}

void multiply(const ShortProduct<uint8_t, int32_t>& product) noexcept {
  static constexpr decltype(&multiply_tile<1>) kByRows[kTileRows] = {multiply_tile<1>, multiply_tile<2>,
                                                                     multiply_tile<3>, multiply_tile<4>,
                                                                     multiply_tile<5>, multiply_tile<6>};
  for (int64_t row = 0; row < product.n; row += kTileRows) {
    const int64_t num_rows = product.n - row < kTileRows ? product.n - row : kTileRows;
    kByRows[num_rows - 1](product, row);
  }
}

}  // namespace

const BytePanelKernels kBytePanelAvx512Vnni = {"avx512vnni", multiply};

}  // namespace quantnoise::kernels

#endif
