#pragma once
// Rows times a panel of elements of 32 bits, two or four values each, for the sets that multiply such
// elements in one instruction. Included by their files, which bring a type Elements:
//   X, Y, Vector                               of ShortProduct<X, Y>; 16 sums
//   Vector zero(), load(const Y*), add(Vector sums, __m512i left, __m512i right); void store(Y*, Vector)

#include <immintrin.h>

#include "quantnoise/kernels/short_panel.h"

namespace quantnoise::kernels {
namespace {

constexpr int kTileRows = 6;  // times four vectors leave registers for the operands
constexpr int kVectors = kStepRows / 16;

template <typename Elements, int kRows>
void multiply_tile(const ShortProduct<typename Elements::X, typename Elements::Y>& product, int64_t row) {
  constexpr int kInElement = 4 / sizeof(typename Elements::X);
  const auto* x = product.x + row * product.x_stride;
  auto* y = product.y + row * product.y_stride;
  typename Elements::Vector sums[kRows][kVectors];
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v)
      sums[r][v] = product.accumulate ? Elements::load(y + r * product.y_stride + 16 * v) : Elements::zero();
  }
  for (int64_t i = 0; i < product.depth; ++i) {
    __m512i right[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) right[v] = _mm512_loadu_si512(product.panel + i * kStepRows + 16 * v);
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
      int32_t element;
      __builtin_memcpy(&element, x + r * product.x_stride + kInElement * i, sizeof(element));
      const __m512i left = _mm512_set1_epi32(element);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sums[r][v] = Elements::add(sums[r][v], left, right[v]);
    }
  }
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) Elements::store(y + r * product.y_stride + 16 * v, sums[r][v]);
  }
}

template <typename Elements>
void multiply(const ShortProduct<typename Elements::X, typename Elements::Y>& product) noexcept {
  static constexpr decltype(&multiply_tile<Elements, 1>) kByRows[kTileRows] = {
      multiply_tile<Elements, 1>, multiply_tile<Elements, 2>, multiply_tile<Elements, 3>,
      multiply_tile<Elements, 4>, multiply_tile<Elements, 5>, multiply_tile<Elements, 6>};
  for (int64_t row = 0; row < product.n; row += kTileRows) {
    const int64_t num_rows = product.n - row < kTileRows ? product.n - row : kTileRows;
    kByRows[num_rows - 1](product, row);
  }
}

}  // namespace
}  // namespace quantnoise::kernels
