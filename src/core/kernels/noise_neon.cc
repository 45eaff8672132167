#include "core/kernels/kernel_functions.h"

#if QN_KERNELS_NEON

#include <arm_neon.h>

#include "core/kernels/philox_lanes.h"

namespace quantnoise::kernels {
namespace {

// Four chains of 16 draws.
inline uint64_t noised_bits(const NoiseArgs& args, uint64_t first) {
  constexpr int kChains = 4;
  if (args.threshold == 0) return 0;
  uint64_t groups[kChains];
  for (int chain = 0; chain < kChains; ++chain)
    groups[chain] = first / 4 + static_cast<uint64_t>(chain * kLanes);
  Counter counters[kChains];
  run_philox<kChains>(args, groups, counters);
  const Words last = Words{} + static_cast<uint32_t>(args.threshold - 1);
  const Words lane_bits = {1, 2, 4, 8};
  uint64_t bits = 0;
  for (int chain = 0; chain < kChains; ++chain) {
    Words ordered[4];
    draws_in_order(counters[chain], ordered);
    for (int i = 0; i < 4; ++i) {
      const uint64_t nibble = vaddvq_u32((uint32x4_t)((Words)(ordered[i] <= last) & lane_bits));
      bits |= nibble << (16 * chain + 4 * i);
    }
  }
  return bits;
}

// Rounds to nearest even; a NaN stays one.
inline uint16x4_t round_bf16(float32x4_t v) {
  const uint32x4_t bits = vreinterpretq_u32_f32(v);
  const uint32x4_t upper = vshrq_n_u32(bits, 16);
  const uint32x4_t odd = vandq_u32(upper, vdupq_n_u32(1));
  const uint32x4_t rounded = vshrq_n_u32(vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7fff)), odd), 16);
  const uint32x4_t quiet = vorrq_u32(upper, vdupq_n_u32(0x40));
  return vmovn_u32(vbslq_u32(vceqq_f32(v, v), rounded, quiet));
}

inline void put(float32x4_t v, float* out) { vst1q_f32(out, v); }
inline void put(float v, float* out) { *out = v; }
inline void put(float32x4_t v, uint16_t* out) { vst1_u16(out, round_bf16(v)); }
inline void put(float v, uint16_t* out) { *out = vget_lane_u16(round_bf16(vdupq_n_f32(v)), 0); }

template <typename Out>
inline void put_scaled(const float* block, int count, float scale, Out* out) {
  int j = 0;
  for (; j + 4 <= count; j += 4) put(vmulq_n_f32(vld1q_f32(block + j), scale), out + j);
  for (; j < count; ++j) put(block[j] * scale, out + j);
}

template <typename Out>
inline void put_constant(float value, int count, Out* out) {
  int j = 0;
  for (; j + 4 <= count; j += 4) put(vdupq_n_f32(value), out + j);
  for (; j < count; ++j) put(value, out + j);
}

}  // namespace
}  // namespace quantnoise::kernels

#include "core/kernels/noise_simd.h"

namespace quantnoise::kernels {

const NoiseKernels kNoiseNeon = {"neon", noise_f32, noise_bf16};

}  // namespace quantnoise::kernels

#endif
