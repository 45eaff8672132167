#pragma once
// Four floats a vector, under the names the shared loops use (see simd_avx2.h).

#include <arm_neon.h>

#include <cstdint>

namespace quantnoise::kernels {
namespace {

constexpr int kLanes = 4;
using Floats = float32x4_t;
using Ints = int32x4_t;
using Mask = uint32x4_t;

inline Floats load(const float* p) { return vld1q_f32(p); }
inline void store(float* p, Floats v) { vst1q_f32(p, v); }
inline Floats broadcast(float v) { return vdupq_n_f32(v); }
inline Ints broadcast_int(int v) { return vdupq_n_s32(v); }
inline Ints upper_halves(Floats v) {
  return vreinterpretq_s32_u32(vshrq_n_u32(vreinterpretq_u32_f32(v), 16));
}
inline Floats mul(Floats a, Floats b) { return vmulq_f32(a, b); }
inline Floats add(Floats a, Floats b) { return vaddq_f32(a, b); }
inline Floats sub(Floats a, Floats b) { return vsubq_f32(a, b); }
inline Floats fmadd(Floats a, Floats b, Floats c) { return vfmaq_f32(c, a, b); }
inline Floats fnmadd(Floats a, Floats b, Floats c) { return vfmsq_f32(c, a, b); }
inline Mask less(Floats a, Floats b) { return vcltq_f32(a, b); }
inline Mask equal(Floats a, Floats b) { return vceqq_f32(a, b); }
inline Mask less(Ints a, Ints b) { return vcltq_s32(a, b); }
/// b where one of them is not a number, as the other sets have it.
inline Floats min(Floats a, Floats b) { return vbslq_f32(less(a, b), a, b); }
inline Floats max(Floats a, Floats b) { return vbslq_f32(less(b, a), a, b); }
inline Floats root(Floats a) { return vsqrtq_f32(a); }
inline Mask both(Mask a, Mask b) { return vandq_u32(a, b); }
inline Mask either(Mask a, Mask b) { return vorrq_u32(a, b); }
inline Ints choose(Mask mask, Ints if_set, Ints otherwise) { return vbslq_s32(mask, if_set, otherwise); }
/// The low 16 bits of every lane.
inline void store_low_halves(uint16_t* p, Ints v) { vst1_u16(p, vmovn_u32(vreinterpretq_u32_s32(v))); }

/// Four rows of eight elements in eight vectors, and the sums of each row's elements.
template <typename Row>
inline Floats rows_of_8(const Row& row, int vector) {
  return load(row(vector / 2) + vector % 2 * 4);
}
inline Floats row_sums(const Floats (&rows)[8]) {
  const Floats first = vpaddq_f32(add(rows[0], rows[1]), add(rows[2], rows[3]));
  return vpaddq_f32(first, vpaddq_f32(add(rows[4], rows[5]), add(rows[6], rows[7])));
}

/// Element j of the four rows starting at row(0), row(1), … → out[j · out_stride + lane], for j < 4.
template <typename Row>
inline void turn_4_columns(const Row& row, float* out, int out_stride) {
  const Floats r0 = load(row(0)), r1 = load(row(1)), r2 = load(row(2)), r3 = load(row(3));
  const Floats a = vzip1q_f32(r0, r2), b = vzip2q_f32(r0, r2);
  const Floats c = vzip1q_f32(r1, r3), d = vzip2q_f32(r1, r3);
  store(out, vzip1q_f32(a, c));
  store(out + out_stride, vzip2q_f32(a, c));
  store(out + 2 * out_stride, vzip1q_f32(b, d));
  store(out + 3 * out_stride, vzip2q_f32(b, d));
}

/// The same for j < 8.
template <typename Row>
inline void turn_8_columns(const Row& row, float* out, int out_stride) {
  turn_4_columns(row, out, out_stride);
  turn_4_columns([&](int lane) { return row(lane) + 4; }, out + 4 * out_stride, out_stride);
}

}  // namespace
}  // namespace quantnoise::kernels
