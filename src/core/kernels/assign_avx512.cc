#include "core/kernels/kernel_functions.h"

#if QN_KERNELS_X86

#include "core/kernels/assign_simd.h"

namespace quantnoise::kernels {
namespace {

int64_t select_not_above(const uint16_t* bounds, float offset, const float* limits, int64_t count,
                         uint16_t* picks) noexcept {
  const Floats shift = broadcast(offset);
  Ints numbers = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  int64_t found = 0;
  for (int64_t i = 0; i < count; i += kLanes) {
    const int64_t left = count - i;
    const Mask valid = left >= kLanes ? 0xFFFF : static_cast<Mask>((1u << left) - 1);
    const Ints halves = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(valid, bounds + i));
    const Floats bound = sub(_mm512_castsi512_ps(_mm512_slli_epi32(halves, 16)), shift);
    const Mask chosen =
        _mm512_mask_cmp_ps_mask(valid, bound, _mm512_maskz_loadu_ps(valid, limits + i), _CMP_LE_OQ);
    store_low_halves(picks + found, _mm512_maskz_compress_epi32(chosen, numbers));
    found += __builtin_popcount(chosen);
    numbers = _mm512_add_epi32(numbers, broadcast_int(kLanes));
  }
  return found;
}

}  // namespace

const AssignKernels kAssignAvx512 = assign_set("avx512", select_not_above, avx512::accumulate);

}  // namespace quantnoise::kernels

#endif
