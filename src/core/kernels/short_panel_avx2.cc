#if defined(__x86_64__)

// Bytes are widened to 16 bits, since products of bytes that are added in twos saturate.

#include <immintrin.h>

#include "quantnoise/kernels/short_panel.h"

namespace quantnoise::kernels {
namespace {

constexpr int kTileRows = 4;

/// The even bytes of the 16-bit elements with their sign, and the odd ones.
inline __m256i even_bytes(__m256i v) { return _mm256_srai_epi16(_mm256_slli_epi16(v, 8), 8); }
inline __m256i odd_bytes(__m256i v) { return _mm256_srai_epi16(v, 8); }

/// kRows rows, eight columns of the panel from `column` on.
template <int kRows>
void multiply_tile(const ShortProduct<uint8_t, int32_t>& product, int64_t row, int column) {
  const uint8_t* x = product.x + row * product.x_stride;
  auto* y = product.y + row * product.y_stride + column;
  __m256i sums[kRows];
  for (int r = 0; r < kRows; ++r) {
    sums[r] = product.accumulate
                  ? _mm256_loadu_si256(reinterpret_cast<const __m256i*>(y + r * product.y_stride))
                  : _mm256_setzero_si256();
  }
  for (int64_t i = 0; i < product.depth; ++i) {
    const __m256i right =
        _mm256_loadu_si256(reinterpret_cast<const __m256i*>(product.panel + i * kStepRows + column));
    const __m256i even = even_bytes(right), odd = odd_bytes(right);
    for (int r = 0; r < kRows; ++r) {
      int32_t four;
      __builtin_memcpy(&four, x + r * product.x_stride + 4 * i, sizeof(four));
      const __m256i left = _mm256_set1_epi32(four);
      const __m256i left_even = _mm256_and_si256(left, _mm256_set1_epi16(255));
      const __m256i left_odd = _mm256_srli_epi16(left, 8);
      const __m256i pairs =
          _mm256_add_epi32(_mm256_madd_epi16(left_even, even), _mm256_madd_epi16(left_odd, odd));
      sums[r] = _mm256_add_epi32(sums[r], pairs);
    }
  }
  for (int r = 0; r < kRows; ++r)
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(y + r * product.y_stride), sums[r]);
}

void multiply(const ShortProduct<uint8_t, int32_t>& product) noexcept {
  static constexpr decltype(&multiply_tile<1>) kByRows[kTileRows] = {multiply_tile<1>, multiply_tile<2>,
                                                                     multiply_tile<3>, multiply_tile<4>};
  for (int64_t row = 0; row < product.n; row += kTileRows) {
    const int64_t num_rows = product.n - row < kTileRows ? product.n - row : kTileRows;
    for (int column = 0; column < kStepRows; column += 8) kByRows[num_rows - 1](product, row, column);
  }
}

}  // namespace

const BytePanelKernels kBytePanelAvx2 = {"avx2", multiply};

}  // namespace quantnoise::kernels

#endif
