#include "core/kernels/kernel_functions.h"

#if QN_KERNELS_NEON

#include "core/kernels/assign_simd.h"

namespace quantnoise::kernels {
namespace {

int64_t select_not_above(const uint16_t* bounds, float offset, const float* limits, int64_t count,
                         uint16_t* picks) noexcept {
  static constexpr uint32_t kLaneBits[kLanes] = {1, 2, 4, 8};
  const Mask lane_bits = vld1q_u32(kLaneBits);
  const Floats shift = broadcast(offset);
  int64_t found = 0, i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const Floats bound = vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(bounds + i), 16));
    const Mask chosen = vcleq_f32(sub(bound, shift), load(limits + i));
    for (uint32_t bits = vaddvq_u32(both(chosen, lane_bits)); bits != 0; bits &= bits - 1)
      picks[found++] = static_cast<uint16_t>(i + __builtin_ctz(bits));
  }
  const int64_t rest = portable::select_not_above(bounds + i, offset, limits + i, count - i, picks + found);
  for (const int64_t end = found + rest; found < end; ++found)
    picks[found] = static_cast<uint16_t>(picks[found] + i);
  return found;
}

}  // namespace

const AssignKernels kAssignNeon = assign_set("neon", select_not_above, neon::accumulate);

}  // namespace quantnoise::kernels

#endif
