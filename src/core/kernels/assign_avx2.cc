#include "core/kernels/kernel_functions.h"

#if QN_KERNELS_X86

#include "core/kernels/assign_simd.h"

namespace quantnoise::kernels {
namespace {

int64_t select_not_above(const uint16_t* bounds, float offset, const float* limits, int64_t count,
                         uint16_t* picks) noexcept {
  const Floats shift = broadcast(offset);
  int64_t found = 0, i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const __m128i halves = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bounds + i));
    const Floats bound = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
    const Mask chosen = _mm256_cmp_ps(sub(bound, shift), load(limits + i), _CMP_LE_OQ);
    for (unsigned bits = static_cast<unsigned>(_mm256_movemask_ps(chosen)); bits != 0; bits &= bits - 1) {
      picks[found++] = static_cast<uint16_t>(i + __builtin_ctz(bits));
    }
  }
  const int64_t rest = portable::select_not_above(bounds + i, offset, limits + i, count - i, picks + found);
  for (const int64_t end = found + rest; found < end; ++found)
    picks[found] = static_cast<uint16_t>(picks[found] + i);
  return found;
}

}  // namespace

const AssignKernels kAssignAvx2 = assign_set("avx2", select_not_above, avx2::accumulate);

}  // namespace quantnoise::kernels

#endif
