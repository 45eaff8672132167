#if defined(__x86_64__)

#include <immintrin.h>

#include "quantnoise/kernels/short_panel.h"

namespace quantnoise::kernels {
namespace {

constexpr int kTileRows = 6;  // times four vectors leave registers for the operands
constexpr int kVectors = kStepRows / 16;

inline __m512bh as_pairs(__m512i v) { return (__m512bh)v; }

template <int kRows>
void multiply_tile(const ShortProduct<uint16_t, float>& product, int64_t row) {
  const uint16_t* x = product.x + row * product.x_stride;
  float* y = product.y + row * product.y_stride;
  __m512 sums[kRows][kVectors];
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      sums[r][v] =
          product.accumulate ? _mm512_loadu_ps(y + r * product.y_stride + 16 * v) : _mm512_setzero_ps();
  }
  for (int64_t i = 0; i < product.depth; ++i) {
    __m512i right[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) right[v] = _mm512_loadu_si512(product.panel + i * kStepRows + 16 * v);
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
      int32_t pair;
      __builtin_memcpy(&pair, x + r * product.x_stride + 2 * i, sizeof(pair));
      const __m512i left = _mm512_set1_epi32(pair);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v)
        sums[r][v] = _mm512_dpbf16_ps(sums[r][v], as_pairs(left), as_pairs(right[v]));
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) _mm512_storeu_ps(y + r * product.y_stride + 16 * v, sums[r][v]);
  }
}

void multiply(const ShortProduct<uint16_t, float>& product) noexcept {
  static constexpr decltype(&multiply_tile<1>) kByRows[kTileRows] = {multiply_tile<1>, multiply_tile<2>,
                                                                     multiply_tile<3>, multiply_tile<4>,
                                                                     multiply_tile<5>, multiply_tile<6>};
  for (int64_t row = 0; row < product.n; row += kTileRows) {
    const int64_t num_rows = product.n - row < kTileRows ? product.n - row : kTileRows;
    kByRows[num_rows - 1](product, row);
  }
}

void round(const float* from, int64_t count, uint16_t* out) noexcept {
  for (int64_t i = 0; i < count; i += 16) {
    const int64_t left = count - i;
    const auto mask = static_cast<__mmask16>(left >= 16 ? 0xffff : (1 << left) - 1);
    const __m256i halves = (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, from + i));
    _mm256_mask_storeu_epi16(out + i, mask, halves);
  }
}

}  // namespace

const Bf16PanelKernels kBf16PanelAvx512 = {"avx512bf16", round, multiply};

}  // namespace quantnoise::kernels

#endif
