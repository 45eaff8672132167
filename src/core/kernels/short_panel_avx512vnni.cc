#if defined(__x86_64__)

#include "core/kernels/short_panel_avx512.h"

namespace quantnoise::kernels {
namespace {

struct Bytes {
  using X = uint8_t;
  using Y = int32_t;
  using Vector = __m512i;
  static Vector zero() { return _mm512_setzero_si512(); }
  static Vector load(const Y* from) { return _mm512_loadu_si512(from); }
  static void store(Y* to, Vector sums) { _mm512_storeu_si512(to, sums); }
  static Vector add(Vector sums, __m512i left, __m512i right) {
    return _mm512_dpbusd_epi32(sums, left, right);
  }
};

}  // namespace

const BytePanelKernels kBytePanelAvx512Vnni = {"avx512vnni", multiply<Bytes>};

}  // namespace quantnoise::kernels

#endif
