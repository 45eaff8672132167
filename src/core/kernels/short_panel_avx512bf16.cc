#if defined(__x86_64__)

#include "core/kernels/short_panel_avx512.h"

namespace quantnoise::kernels {
namespace {

inline __m512bh as_pairs(__m512i v) { return (__m512bh)v; }

struct Pairs {
  using X = uint16_t;
  using Y = float;
  using Vector = __m512;
  static Vector zero() { return _mm512_setzero_ps(); }
  static Vector load(const Y* from) { return _mm512_loadu_ps(from); }
  static void store(Y* to, Vector sums) { _mm512_storeu_ps(to, sums); }
  static Vector add(Vector sums, __m512i left, __m512i right) {
    return _mm512_dpbf16_ps(sums, as_pairs(left), as_pairs(right));
  }
};

void round(const float* from, int64_t count, uint16_t* out) noexcept {
  for (int64_t i = 0; i < count; i += 16) {
    const int64_t left = count - i;
    const auto mask = static_cast<__mmask16>(left >= 16 ? 0xffff : (1 << left) - 1);
    const __m256i halves = (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, from + i));
    _mm256_mask_storeu_epi16(out + i, mask, halves);
  }
}

}  // namespace

const Bf16PanelKernels kBf16PanelAvx512 = {"avx512bf16", round, multiply<Pairs>};

}  // namespace quantnoise::kernels

#endif
