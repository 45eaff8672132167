#pragma once
// Vectors through the compiler's vector extension: one source for every instruction set. The flags of the
// including file choose the width, so everything here has internal linkage.

#if defined(__AVX2__) || defined(__SSE2__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include <cstdint>

namespace quantnoise::kernels {
namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

using Floats = float __attribute__((vector_size(kLanes * 4)));
using Ints = int32_t __attribute__((vector_size(kLanes * 4)));
using Words = uint32_t __attribute__((vector_size(kLanes * 4)));
using Longs = uint64_t __attribute__((vector_size(kLanes * 4)));
using Halves = uint16_t __attribute__((vector_size(kLanes * 2)));

template <typename Vector, typename Scalar>
inline Vector load_as(const Scalar* from) {
  Vector result;
  __builtin_memcpy(&result, from, sizeof(Vector));
  return result;
}

template <typename Vector, typename Scalar>
inline void store_as(Scalar* to, Vector value) {
  __builtin_memcpy(to, &value, sizeof(Vector));
}

inline Floats load(const float* from) { return load_as<Floats>(from); }
inline void store(float* to, Floats value) { store_as(to, value); }
inline Floats broadcast(float value) { return Floats{} + value; }

/// bf16 bits ↔ fp32; rounds to nearest even and keeps NaN.
inline Floats load(const uint16_t* from) {
  return (Floats)(__builtin_convertvector(load_as<Halves>(from), Words) << 16);
}
inline Words bf16_bits(Floats value) {
  const Words bits = (Words)value;
  const Words rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  return value == value ? rounded : Words{} + 0x7fc0u;
}
inline void store(uint16_t* to, Floats value) {
  store_as(to, __builtin_convertvector(bf16_bits(value), Halves));
}

inline float load_one(const float* from) { return *from; }
inline float load_one(const uint16_t* from) {
  const uint32_t bits = uint32_t{*from} << 16;
  float value;
  __builtin_memcpy(&value, &bits, 4);
  return value;
}
inline void store_one(float* to, float value) { *to = value; }
inline void store_one(uint16_t* to, float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, 4);
  *to =
      value == value ? static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16) : uint16_t{0x7fc0};
}

inline Floats max_of(Floats a, Floats b) { return a > b ? a : b; }

inline float sum_lanes(Floats value) {
  float sum = 0;
  for (int i = 0; i < kLanes; ++i) sum += value[i];
  return sum;
}
inline float max_lanes(Floats value) {
  float best = value[0];
  for (int i = 1; i < kLanes; ++i) best = value[i] > best ? value[i] : best;
  return best;
}

/// e^x to 2 ulp; 0 below -87.3 (and for -inf), inf above 88.7; NaN stays NaN. Cephes' polynomial on [-ln2/2,
/// ln2/2].
inline Floats exp_of(Floats x) {
  const Floats low = broadcast(-87.3f);
  const Floats high = broadcast(88.7f);
  Floats clamped = x < low ? low : x;
  clamped = clamped > high ? high : clamped;
  const float kMagic =
      12582912.0f;  // 1.5 · 2^23: adding it rounds to an integer that sits in the low mantissa bits
  const Floats shifted = clamped * 1.44269504088896341f + kMagic;
  const Floats n = shifted - kMagic;
  const Floats r = clamped - n * 0.693359375f + n * 2.12194440e-4f;
  Floats poly = broadcast(1.9875691500e-4f);
  poly = poly * r + 1.3981999507e-3f;
  poly = poly * r + 8.3334519073e-3f;
  poly = poly * r + 4.1665795894e-2f;
  poly = poly * r + 1.6666665459e-1f;
  poly = poly * r + 5.0000001201e-1f;
  poly = poly * (r * r) + r + 1.0f;
  // Two factors, since 2^128 alone is not a float.
  const Words exponent = (Words)shifted << 23;
  const Floats result = poly * 2.0f * (Floats)(exponent + (126u << 23));
  Floats bounded = x < low ? Floats{} : result;
  bounded = x > high ? broadcast(__builtin_inff()) : bounded;
  return bounded;
}

/// a[0], b[0], a[1], b[1] … of the lower or upper halves.
template <typename Vector>
inline Vector zip_low(Vector a, Vector b) {
#if defined(__AVX512F__)
  return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
#elif defined(__AVX2__)
  return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
#else
  return __builtin_shufflevector(a, b, 0, 4, 1, 5);
#endif
}
template <typename Vector>
inline Vector zip_high(Vector a, Vector b) {
#if defined(__AVX512F__)
  return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
#elif defined(__AVX2__)
  return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
#else
  return __builtin_shufflevector(a, b, 2, 6, 3, 7);
#endif
}

/// Products of the even 32-bit elements of a with the low half of each b.
inline Longs multiply_even(Words a, Longs b) {
#if defined(__AVX512F__)
  return (Longs)_mm512_mul_epu32((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
  return (Longs)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#elif defined(__SSE2__)
  return (Longs)_mm_mul_epu32((__m128i)a, (__m128i)b);
#elif defined(__aarch64__)
  return (Longs)vmull_u32(vmovn_u64((uint64x2_t)a), vmovn_u64((uint64x2_t)b));
#else
  return ((Longs)a & 0xffffffffu) * b;
#endif
}

}  // namespace
}  // namespace quantnoise::kernels
