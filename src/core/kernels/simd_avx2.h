#pragma once
// Eight floats a vector, under the names the shared loops use. Anonymous: every file gets its own copy, so
// that no copy compiled for one instruction set is ever linked into another.

#include <immintrin.h>

#include <cstdint>

namespace quantnoise::kernels {
namespace {

constexpr int kLanes = 8;
using Floats = __m256;
using Ints = __m256i;
using Mask = __m256;

inline Floats load(const float* p) { return _mm256_loadu_ps(p); }
inline void store(float* p, Floats v) { _mm256_storeu_ps(p, v); }
inline Floats broadcast(float v) { return _mm256_set1_ps(v); }
inline Ints broadcast_int(int v) { return _mm256_set1_epi32(v); }
inline Ints upper_halves(Floats v) { return _mm256_srli_epi32(_mm256_castps_si256(v), 16); }
inline Floats mul(Floats a, Floats b) { return _mm256_mul_ps(a, b); }
inline Floats add(Floats a, Floats b) { return _mm256_add_ps(a, b); }
inline Floats sub(Floats a, Floats b) { return _mm256_sub_ps(a, b); }
inline Floats fmadd(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
inline Floats fnmadd(Floats a, Floats b, Floats c) { return _mm256_fnmadd_ps(a, b, c); }
inline Floats min(Floats a, Floats b) { return _mm256_min_ps(a, b); }
inline Floats max(Floats a, Floats b) { return _mm256_max_ps(a, b); }
inline Floats root(Floats a) { return _mm256_sqrt_ps(a); }
inline Mask less(Floats a, Floats b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
inline Mask equal(Floats a, Floats b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
inline Mask less(Ints a, Ints b) { return _mm256_castsi256_ps(_mm256_cmpgt_epi32(b, a)); }
inline Mask both(Mask a, Mask b) { return _mm256_and_ps(a, b); }
inline Mask either(Mask a, Mask b) { return _mm256_or_ps(a, b); }
inline Ints choose(Mask mask, Ints if_set, Ints otherwise) {
  return _mm256_castps_si256(
      _mm256_blendv_ps(_mm256_castsi256_ps(otherwise), _mm256_castsi256_ps(if_set), mask));
}
/// The low 16 bits of every lane.
inline void store_low_halves(uint16_t* p, Ints v) {
  const __m256i packed = _mm256_packus_epi32(v, v);
  const __m256i ordered = _mm256_permute4x64_epi64(packed, 0x08);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_castsi256_si128(ordered));
}

/// Rows of eight elements, kLanes of them in eight vectors, and the sums of each row's elements in their
/// order.
template <typename Row>
inline Floats rows_of_8(const Row& row, int vector) {
  return load(row(vector));
}
inline Floats neighbour_sums(Floats a, Floats b) { return _mm256_hadd_ps(a, b); }
inline Floats row_sums(const Floats (&rows)[8]) {
  const Floats first = neighbour_sums(neighbour_sums(rows[0], rows[1]), neighbour_sums(rows[2], rows[3]));
  const Floats last = neighbour_sums(neighbour_sums(rows[4], rows[5]), neighbour_sums(rows[6], rows[7]));
  return add(_mm256_permute2f128_ps(first, last, 0x20), _mm256_permute2f128_ps(first, last, 0x31));
}

/// Element j of the kLanes rows starting at row(0), row(1), … → out[j · out_stride + lane], for j < 4.
template <typename Row>
inline void turn_4_columns(const Row& row, float* out, int out_stride) {
  for (int lane = 0; lane < kLanes; lane += 4) {
    __m128 r0 = _mm_loadu_ps(row(lane)), r1 = _mm_loadu_ps(row(lane + 1));
    __m128 r2 = _mm_loadu_ps(row(lane + 2)), r3 = _mm_loadu_ps(row(lane + 3));
    _MM_TRANSPOSE4_PS(r0, r1, r2, r3);
    _mm_storeu_ps(out + lane, r0);
    _mm_storeu_ps(out + out_stride + lane, r1);
    _mm_storeu_ps(out + 2 * out_stride + lane, r2);
    _mm_storeu_ps(out + 3 * out_stride + lane, r3);
  }
}

/// The same for j < 8.
template <typename Row>
inline void turn_8_columns(const Row& row, float* out, int out_stride) {
  const Floats r0 = rows_of_8(row, 0), r1 = rows_of_8(row, 1);
  const Floats r2 = rows_of_8(row, 2), r3 = rows_of_8(row, 3);
  const Floats r4 = rows_of_8(row, 4), r5 = rows_of_8(row, 5);
  const Floats r6 = rows_of_8(row, 6), r7 = rows_of_8(row, 7);
  const Floats a0 = _mm256_unpacklo_ps(r0, r1), a1 = _mm256_unpackhi_ps(r0, r1);
  const Floats a2 = _mm256_unpacklo_ps(r2, r3), a3 = _mm256_unpackhi_ps(r2, r3);
  const Floats a4 = _mm256_unpacklo_ps(r4, r5), a5 = _mm256_unpackhi_ps(r4, r5);
  const Floats a6 = _mm256_unpacklo_ps(r6, r7), a7 = _mm256_unpackhi_ps(r6, r7);
  const Floats b0 = _mm256_shuffle_ps(a0, a2, 0x44), b1 = _mm256_shuffle_ps(a0, a2, 0xEE);
  const Floats b2 = _mm256_shuffle_ps(a1, a3, 0x44), b3 = _mm256_shuffle_ps(a1, a3, 0xEE);
  const Floats b4 = _mm256_shuffle_ps(a4, a6, 0x44), b5 = _mm256_shuffle_ps(a4, a6, 0xEE);
  const Floats b6 = _mm256_shuffle_ps(a5, a7, 0x44), b7 = _mm256_shuffle_ps(a5, a7, 0xEE);
  store(out + 0 * out_stride, _mm256_permute2f128_ps(b0, b4, 0x20));
  store(out + 1 * out_stride, _mm256_permute2f128_ps(b1, b5, 0x20));
  store(out + 2 * out_stride, _mm256_permute2f128_ps(b2, b6, 0x20));
  store(out + 3 * out_stride, _mm256_permute2f128_ps(b3, b7, 0x20));
  store(out + 4 * out_stride, _mm256_permute2f128_ps(b0, b4, 0x31));
  store(out + 5 * out_stride, _mm256_permute2f128_ps(b1, b5, 0x31));
  store(out + 6 * out_stride, _mm256_permute2f128_ps(b2, b6, 0x31));
  store(out + 7 * out_stride, _mm256_permute2f128_ps(b3, b7, 0x31));
}

}  // namespace
}  // namespace quantnoise::kernels
