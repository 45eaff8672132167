#pragma once
// Integer vectors of 256 or 512 bits under one name, for the look-up kernels. Anonymous: every file gets its
// own copy, so that no copy compiled for one instruction set is ever linked into another.

#include <immintrin.h>

#include <cstdint>

#include "core/kernels/lookup_prefetch.h"
#include "quantnoise/kernels/lookup.h"

namespace quantnoise::kernels {
namespace {

#if defined(__AVX512BW__)

constexpr int kVectorLanes = 4;  // of 128 bits
using Ints = __m512i;
using Floats = __m512;

inline Ints load_ints(const void* from) { return _mm512_loadu_si512(from); }
inline void store_ints(void* to, Ints v) { _mm512_storeu_si512(to, v); }
inline Floats load_floats(const float* from) { return _mm512_loadu_ps(from); }
inline void store_floats(float* to, Floats v) { _mm512_storeu_ps(to, v); }
inline Ints zero_ints() { return _mm512_setzero_si512(); }
inline Ints set_i32(int32_t v) { return _mm512_set1_epi32(v); }
inline Ints set_i16(int16_t v) { return _mm512_set1_epi16(v); }
inline Ints set_i8(int8_t v) { return _mm512_set1_epi8(v); }
inline Floats set_f32(float v) { return _mm512_set1_ps(v); }
inline Floats add_f32(Floats a, Floats b) { return _mm512_add_ps(a, b); }
inline Floats sub_f32(Floats a, Floats b) { return _mm512_sub_ps(a, b); }
inline Floats mul_f32(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
inline Floats div_f32(Floats a, Floats b) { return _mm512_div_ps(a, b); }
inline Floats min_f32(Floats a, Floats b) { return _mm512_min_ps(a, b); }
inline Floats max_f32(Floats a, Floats b) { return _mm512_max_ps(a, b); }
inline Floats root_f32(Floats a) { return _mm512_sqrt_ps(a); }
/// a where b > 0, else 0.
inline Floats keep_where_positive(Floats a, Floats b) {
  return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(b, _mm512_setzero_ps(), _CMP_GT_OQ), a);
}
inline Ints to_ints(Floats a) { return _mm512_cvtps_epi32(a); }
inline Ints cut_to_ints(Floats a) { return _mm512_cvttps_epi32(a); }
inline Floats to_floats(Ints a) { return _mm512_cvtepi32_ps(a); }
inline Ints add_i8(Ints a, Ints b) { return _mm512_add_epi8(a, b); }
inline Ints sub_i8(Ints a, Ints b) { return _mm512_sub_epi8(a, b); }
inline Ints add_i16(Ints a, Ints b) { return _mm512_add_epi16(a, b); }
inline Ints sub_i16(Ints a, Ints b) { return _mm512_sub_epi16(a, b); }
inline Ints add_i32(Ints a, Ints b) { return _mm512_add_epi32(a, b); }
inline Ints sub_i32(Ints a, Ints b) { return _mm512_sub_epi32(a, b); }
inline Ints min_i16(Ints a, Ints b) { return _mm512_min_epi16(a, b); }
inline Ints max_i16(Ints a, Ints b) { return _mm512_max_epi16(a, b); }
inline Ints upper_product_u16(Ints a, Ints b) { return _mm512_mulhi_epu16(a, b); }
inline Ints bits_and(Ints a, Ints b) { return _mm512_and_si512(a, b); }
inline Ints bits_or(Ints a, Ints b) { return _mm512_or_si512(a, b); }
template <int kBits>
inline Ints shift_left_i16(Ints a) {
  return _mm512_slli_epi16(a, kBits);
}
template <int kBits>
inline Ints shift_right_u16(Ints a) {
  return _mm512_srli_epi16(a, kBits);
}
template <int kBits>
inline Ints shift_left_i32(Ints a) {
  return _mm512_slli_epi32(a, kBits);
}
template <int kBits>
inline Ints shift_right_i32(Ints a) {
  return _mm512_srai_epi32(a, kBits);
}
template <int kBits>
inline Ints shift_right_u32(Ints a) {
  return _mm512_srli_epi32(a, kBits);
}
inline Ints max_i32(Ints a, Ints b) { return _mm512_max_epi32(a, b); }
inline Ints zip_low_i16(Ints a, Ints b) { return _mm512_unpacklo_epi16(a, b); }
inline Ints zip_high_i16(Ints a, Ints b) { return _mm512_unpackhi_epi16(a, b); }
inline Ints zip_low_i32(Ints a, Ints b) { return _mm512_unpacklo_epi32(a, b); }
inline Ints zip_high_i32(Ints a, Ints b) { return _mm512_unpackhi_epi32(a, b); }
inline Floats zip_low_f32(Floats a, Floats b) { return _mm512_unpacklo_ps(a, b); }
inline Floats zip_high_f32(Floats a, Floats b) { return _mm512_unpackhi_ps(a, b); }
/// Two floats at a time.
inline Floats zip_low_f64(Floats a, Floats b) {
  return _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
}
inline Floats zip_high_f64(Floats a, Floats b) {
  return _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
}
inline Ints pack_i32(Ints a, Ints b) { return _mm512_packs_epi32(a, b); }
inline Ints pack_u32(Ints a, Ints b) { return _mm512_packus_epi32(a, b); }
inline Ints pack_u16(Ints a, Ints b) { return _mm512_packus_epi16(a, b); }
/// The upper halves of the 32-bit integers: a[0], b[0], a[1], b[1], …
inline Ints zip_upper_halves(Ints a, Ints b) {
  return _mm512_mask_blend_epi16(0xaaaaaaaau, _mm512_srli_epi32(a, 16), b);
}
/// sums + the products of the 16-bit integers in twos.
inline Ints add_products(Ints sums, Ints a, Ints b) {
#if defined(__AVX512VNNI__)
  return _mm512_dpwssd_epi32(sums, a, b);
#else
  return _mm512_add_epi32(sums, _mm512_madd_epi16(a, b));
#endif
}
/// Within 128 bits: byte i of the result is table byte indices[i] mod 16, or 0 where the index is negative.
inline Ints look_up_16(Ints table, Ints indices) { return _mm512_shuffle_epi8(table, indices); }
/// Element 0 of all lanes of 128 bits, then element 1 …; used for the first 16 bytes only.
inline __m128i first_of_lanes(Ints a) {
  const Ints at = _mm512_set_epi32(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 8, 4, 0);
  return _mm512_castsi512_si128(_mm512_permutexvar_epi32(at, a));
}
/// The 16 bytes in all lanes.
inline Ints load_lane(const void* from) {
  return _mm512_broadcast_i32x4(_mm_loadu_si128(static_cast<const __m128i*>(from)));
}
/// where_set where the byte of `signs` is negative.
inline Ints choose_by_sign(Ints signs, Ints where_set, Ints otherwise) {
  return _mm512_mask_mov_epi8(otherwise, _mm512_movepi8_mask(signs), where_set);
}
/// base[0], base[stride], …; lanes from `count` on are 0.
inline Floats gather(const float* base, int stride, int64_t count) {
  const auto mask = static_cast<__mmask16>(count >= 16 ? 0xffff : (1 << count) - 1);
  const Ints at = _mm512_mullo_epi32(_mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
                                     set_i32(stride));
  return _mm512_mask_i32gather_ps(_mm512_setzero_ps(), mask, at, base, 4);
}
/// Four floats from each of base, base + stride, …: a lane of 128 bits each.
inline Floats load_lanes_f32(const float* base, int64_t stride) {
  Floats lanes = _mm512_castps128_ps512(_mm_loadu_ps(base));
  lanes = _mm512_insertf32x4(lanes, _mm_loadu_ps(base + stride), 1);
  lanes = _mm512_insertf32x4(lanes, _mm_loadu_ps(base + 2 * stride), 2);
  return _mm512_insertf32x4(lanes, _mm_loadu_ps(base + 3 * stride), 3);
}
/// a[0], b[0], a[1], b[1], …: 2 · 16 floats.
inline void store_zipped(float* to, Floats a, Floats b) {
  const Ints low = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  const Ints high = _mm512_add_epi32(low, set_i32(8));
  store_floats(to, _mm512_permutex2var_ps(a, low, b));
  store_floats(to + 16, _mm512_permutex2var_ps(a, high, b));
}
/// The two halves.
inline __m256i lower_half(Ints a) { return _mm512_castsi512_si256(a); }
inline __m256i upper_half(Ints a) { return _mm512_extracti64x4_epi64(a, 1); }
/// Lane k: the smallest of what the lanes of 128 bits of vectors[k] have at the same place.
inline Ints least_across_lanes_i16(const Ints (&v)[4]) {
  const Ints a = min_i16(_mm512_shuffle_i32x4(v[0], v[1], 0x44), _mm512_shuffle_i32x4(v[0], v[1], 0xee));
  const Ints b = min_i16(_mm512_shuffle_i32x4(v[2], v[3], 0x44), _mm512_shuffle_i32x4(v[2], v[3], 0xee));
  return min_i16(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd));
}
inline Floats least_across_lanes_f32(const Floats (&v)[4]) {
  const Floats a = min_f32(_mm512_shuffle_f32x4(v[0], v[1], 0x44), _mm512_shuffle_f32x4(v[0], v[1], 0xee));
  const Floats b = min_f32(_mm512_shuffle_f32x4(v[2], v[3], 0x44), _mm512_shuffle_f32x4(v[2], v[3], 0xee));
  return min_f32(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
}
/// The lower halves of the lanes of 128 bits, then the upper ones.
inline Ints halves_of_lanes(Ints a) {
  return _mm512_permutexvar_epi64(_mm512_set_epi64(7, 5, 3, 1, 6, 4, 2, 0), a);
}
/// What the lanes of 128 bits have at the same place: the largest.
inline __m128 greatest_of_lanes_f32(Floats a) {
  const __m256 b = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
  return _mm_max_ps(_mm256_castps256_ps128(b), _mm256_extractf128_ps(b, 1));
}
inline Ints widen_i16(__m256i a) { return _mm512_cvtepi16_epi32(a); }
inline Ints widen_u16(__m256i a) { return _mm512_cvtepu16_epi32(a); }

#else

constexpr int kVectorLanes = 2;
using Ints = __m256i;
using Floats = __m256;

inline Ints load_ints(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }
inline void store_ints(void* to, Ints v) { _mm256_storeu_si256(static_cast<__m256i*>(to), v); }
inline Floats load_floats(const float* from) { return _mm256_loadu_ps(from); }
inline void store_floats(float* to, Floats v) { _mm256_storeu_ps(to, v); }
inline Ints zero_ints() { return _mm256_setzero_si256(); }
inline Ints set_i32(int32_t v) { return _mm256_set1_epi32(v); }
inline Ints set_i16(int16_t v) { return _mm256_set1_epi16(v); }
inline Ints set_i8(int8_t v) { return _mm256_set1_epi8(v); }
inline Floats set_f32(float v) { return _mm256_set1_ps(v); }
inline Floats add_f32(Floats a, Floats b) { return _mm256_add_ps(a, b); }
inline Floats sub_f32(Floats a, Floats b) { return _mm256_sub_ps(a, b); }
inline Floats mul_f32(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
inline Floats div_f32(Floats a, Floats b) { return _mm256_div_ps(a, b); }
inline Floats min_f32(Floats a, Floats b) { return _mm256_min_ps(a, b); }
inline Floats max_f32(Floats a, Floats b) { return _mm256_max_ps(a, b); }
inline Floats root_f32(Floats a) { return _mm256_sqrt_ps(a); }
inline Floats keep_where_positive(Floats a, Floats b) {
  return _mm256_and_ps(a, _mm256_cmp_ps(b, _mm256_setzero_ps(), _CMP_GT_OQ));
}
inline Ints to_ints(Floats a) { return _mm256_cvtps_epi32(a); }
inline Ints cut_to_ints(Floats a) { return _mm256_cvttps_epi32(a); }
inline Floats to_floats(Ints a) { return _mm256_cvtepi32_ps(a); }
inline Ints add_i8(Ints a, Ints b) { return _mm256_add_epi8(a, b); }
inline Ints sub_i8(Ints a, Ints b) { return _mm256_sub_epi8(a, b); }
inline Ints add_i16(Ints a, Ints b) { return _mm256_add_epi16(a, b); }
inline Ints sub_i16(Ints a, Ints b) { return _mm256_sub_epi16(a, b); }
inline Ints add_i32(Ints a, Ints b) { return _mm256_add_epi32(a, b); }
inline Ints sub_i32(Ints a, Ints b) { return _mm256_sub_epi32(a, b); }
inline Ints min_i16(Ints a, Ints b) { return _mm256_min_epi16(a, b); }
inline Ints max_i16(Ints a, Ints b) { return _mm256_max_epi16(a, b); }
inline Ints upper_product_u16(Ints a, Ints b) { return _mm256_mulhi_epu16(a, b); }
inline Ints bits_and(Ints a, Ints b) { return _mm256_and_si256(a, b); }
inline Ints bits_or(Ints a, Ints b) { return _mm256_or_si256(a, b); }
template <int kBits>
inline Ints shift_left_i16(Ints a) {
  return _mm256_slli_epi16(a, kBits);
}
template <int kBits>
inline Ints shift_right_u16(Ints a) {
  return _mm256_srli_epi16(a, kBits);
}
template <int kBits>
inline Ints shift_left_i32(Ints a) {
  return _mm256_slli_epi32(a, kBits);
}
template <int kBits>
inline Ints shift_right_i32(Ints a) {
  return _mm256_srai_epi32(a, kBits);
}
template <int kBits>
inline Ints shift_right_u32(Ints a) {
  return _mm256_srli_epi32(a, kBits);
}
inline Ints max_i32(Ints a, Ints b) { return _mm256_max_epi32(a, b); }
inline Ints zip_low_i16(Ints a, Ints b) { return _mm256_unpacklo_epi16(a, b); }
inline Ints zip_high_i16(Ints a, Ints b) { return _mm256_unpackhi_epi16(a, b); }
inline Ints zip_low_i32(Ints a, Ints b) { return _mm256_unpacklo_epi32(a, b); }
inline Ints zip_high_i32(Ints a, Ints b) { return _mm256_unpackhi_epi32(a, b); }
inline Floats zip_low_f32(Floats a, Floats b) { return _mm256_unpacklo_ps(a, b); }
inline Floats zip_high_f32(Floats a, Floats b) { return _mm256_unpackhi_ps(a, b); }
inline Floats zip_low_f64(Floats a, Floats b) {
  return _mm256_castpd_ps(_mm256_unpacklo_pd(_mm256_castps_pd(a), _mm256_castps_pd(b)));
}
inline Floats zip_high_f64(Floats a, Floats b) {
  return _mm256_castpd_ps(_mm256_unpackhi_pd(_mm256_castps_pd(a), _mm256_castps_pd(b)));
}
inline Ints pack_i32(Ints a, Ints b) { return _mm256_packs_epi32(a, b); }
inline Ints pack_u32(Ints a, Ints b) { return _mm256_packus_epi32(a, b); }
inline Ints pack_u16(Ints a, Ints b) { return _mm256_packus_epi16(a, b); }
inline Ints zip_upper_halves(Ints a, Ints b) { return _mm256_blend_epi16(_mm256_srli_epi32(a, 16), b, 0xaa); }
inline Ints add_products(Ints sums, Ints a, Ints b) {
  return _mm256_add_epi32(sums, _mm256_madd_epi16(a, b));
}
inline Ints look_up_16(Ints table, Ints indices) { return _mm256_shuffle_epi8(table, indices); }
inline __m128i first_of_lanes(Ints a) {
  return _mm256_castsi256_si128(_mm256_permutevar8x32_epi32(a, _mm256_set_epi32(0, 0, 0, 0, 5, 1, 4, 0)));
}
inline Ints load_lane(const void* from) {
  return _mm256_broadcastsi128_si256(_mm_loadu_si128(static_cast<const __m128i*>(from)));
}
inline Ints choose_by_sign(Ints signs, Ints where_set, Ints otherwise) {
  return _mm256_blendv_epi8(otherwise, where_set, signs);
}
inline Floats gather(const float* base, int stride, int64_t count) {
  const Ints lanes = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
  const Ints mask = _mm256_cmpgt_epi32(set_i32(static_cast<int32_t>(count < 8 ? count : 8)), lanes);
  return _mm256_mask_i32gather_ps(_mm256_setzero_ps(), base, _mm256_mullo_epi32(lanes, set_i32(stride)),
                                  _mm256_castsi256_ps(mask), 4);
}
inline Floats load_lanes_f32(const float* base, int64_t stride) {
  return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(base)), _mm_loadu_ps(base + stride), 1);
}
inline void store_zipped(float* to, Floats a, Floats b) {
  const __m256 low = _mm256_unpacklo_ps(a, b), high = _mm256_unpackhi_ps(a, b);
  store_floats(to, _mm256_permute2f128_ps(low, high, 0x20));
  store_floats(to + 8, _mm256_permute2f128_ps(low, high, 0x31));
}
inline __m128i lower_half(Ints a) { return _mm256_castsi256_si128(a); }
inline __m128i upper_half(Ints a) { return _mm256_extracti128_si256(a, 1); }
inline Ints least_across_lanes_i16(const Ints (&v)[2]) {
  return min_i16(_mm256_permute2x128_si256(v[0], v[1], 0x20), _mm256_permute2x128_si256(v[0], v[1], 0x31));
}
inline Floats least_across_lanes_f32(const Floats (&v)[2]) {
  return min_f32(_mm256_permute2f128_ps(v[0], v[1], 0x20), _mm256_permute2f128_ps(v[0], v[1], 0x31));
}
inline Ints halves_of_lanes(Ints a) { return _mm256_permute4x64_epi64(a, 0xd8); }
inline __m128 greatest_of_lanes_f32(Floats a) {
  return _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
}
inline Ints widen_i16(__m128i a) { return _mm256_cvtepi16_epi32(a); }
inline Ints widen_u16(__m128i a) { return _mm256_cvtepu16_epi32(a); }

#endif

constexpr int kLanes = 4 * kVectorLanes;  // of 32 bits
constexpr int kVectorBytes = 16 * kVectorLanes;

/// columns[j], lane i: base[i · stride + j], j < 4. For vectors of as many floats: a gather is several times
/// slower.
inline void load_four_columns(const float* base, int64_t stride, Floats* columns) {
  Floats rows[4];
  for (int i = 0; i < 4; ++i) rows[i] = load_lanes_f32(base + i * stride, 4 * stride);
  const Floats even[2] = {zip_low_f32(rows[0], rows[2]), zip_high_f32(rows[0], rows[2])};
  const Floats odd[2] = {zip_low_f32(rows[1], rows[3]), zip_high_f32(rows[1], rows[3])};
  for (int half = 0; half < 2; ++half) {
    columns[2 * half] = zip_low_f32(even[half], odd[half]);
    columns[2 * half + 1] = zip_high_f32(even[half], odd[half]);
  }
}

/// The largest of the floats; no NaN.
inline float greatest_f32(Floats v) {
  const __m128 four = greatest_of_lanes_f32(v), two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
}

}  // namespace
}  // namespace quantnoise::kernels
