#pragma once
// Sixteen floats a vector, under the names the shared loops use. Anonymous: every file gets its own copy, so
// that no copy compiled for one instruction set is ever linked into another.

#include <immintrin.h>

#include <cstdint>

namespace quantnoise::kernels {
namespace {

constexpr int kLanes = 16;
using Floats = __m512;
using Ints = __m512i;
using Mask = __mmask16;

inline Floats load(const float* p) { return _mm512_loadu_ps(p); }
inline void store(float* p, Floats v) { _mm512_storeu_ps(p, v); }
inline Floats broadcast(float v) { return _mm512_set1_ps(v); }
inline Ints broadcast_int(int v) { return _mm512_set1_epi32(v); }
inline Ints upper_halves(Floats v) { return _mm512_srli_epi32(_mm512_castps_si512(v), 16); }
inline Floats mul(Floats a, Floats b) { return _mm512_mul_ps(a, b); }
inline Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
inline Floats sub(Floats a, Floats b) { return _mm512_sub_ps(a, b); }
inline Floats fmadd(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
inline Floats fnmadd(Floats a, Floats b, Floats c) { return _mm512_fnmadd_ps(a, b, c); }
inline Floats min(Floats a, Floats b) { return _mm512_min_ps(a, b); }
inline Floats max(Floats a, Floats b) { return _mm512_max_ps(a, b); }
inline Floats root(Floats a) { return _mm512_sqrt_ps(a); }
inline Mask less(Floats a, Floats b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
inline Mask equal(Floats a, Floats b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
inline Mask less(Ints a, Ints b) { return _mm512_cmplt_epi32_mask(a, b); }
inline Mask both(Mask a, Mask b) { return a & b; }
inline Mask either(Mask a, Mask b) { return a | b; }
inline Ints choose(Mask mask, Ints if_set, Ints otherwise) {
  return _mm512_mask_mov_epi32(otherwise, mask, if_set);
}
/// The low 16 bits of every lane.
inline void store_low_halves(uint16_t* p, Ints v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(v));
}

/// Rows of eight elements, kLanes of them in eight vectors, and the sums of each row's elements in their
/// order. The vectors hold rows 0 … 3 and 8 … 11 in the lower halves, the four rows after them in the upper
/// ones.
template <typename Row>
inline Floats rows_of_8(const Row& row, int vector) {
  const int low = vector < 4 ? vector : vector + 4;
  const __m512 v = _mm512_castps256_ps512(_mm256_loadu_ps(row(low)));
  return _mm512_insertf32x8(v, _mm256_loadu_ps(row(low + 4)), 1);
}
inline Floats neighbour_sums(Floats a, Floats b) {
  return _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x88), _mm512_shuffle_ps(a, b, 0xDD));
}
inline Floats row_sums(const Floats (&rows)[8]) {
  const Floats first = neighbour_sums(neighbour_sums(rows[0], rows[1]), neighbour_sums(rows[2], rows[3]));
  const Floats last = neighbour_sums(neighbour_sums(rows[4], rows[5]), neighbour_sums(rows[6], rows[7]));
  return add(_mm512_shuffle_f32x4(first, last, 0x88), _mm512_shuffle_f32x4(first, last, 0xDD));
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
  const Floats a0 = _mm512_unpacklo_ps(r0, r1), a1 = _mm512_unpackhi_ps(r0, r1);
  const Floats a2 = _mm512_unpacklo_ps(r2, r3), a3 = _mm512_unpackhi_ps(r2, r3);
  const Floats a4 = _mm512_unpacklo_ps(r4, r5), a5 = _mm512_unpackhi_ps(r4, r5);
  const Floats a6 = _mm512_unpacklo_ps(r6, r7), a7 = _mm512_unpackhi_ps(r6, r7);
  const Floats b0 = _mm512_shuffle_ps(a0, a2, 0x44), b1 = _mm512_shuffle_ps(a0, a2, 0xEE);
  const Floats b2 = _mm512_shuffle_ps(a1, a3, 0x44), b3 = _mm512_shuffle_ps(a1, a3, 0xEE);
  const Floats b4 = _mm512_shuffle_ps(a4, a6, 0x44), b5 = _mm512_shuffle_ps(a4, a6, 0xEE);
  const Floats b6 = _mm512_shuffle_ps(a5, a7, 0x44), b7 = _mm512_shuffle_ps(a5, a7, 0xEE);
  store(out + 0 * out_stride, _mm512_shuffle_f32x4(b0, b4, 0x88));
  store(out + 1 * out_stride, _mm512_shuffle_f32x4(b1, b5, 0x88));
  store(out + 2 * out_stride, _mm512_shuffle_f32x4(b2, b6, 0x88));
  store(out + 3 * out_stride, _mm512_shuffle_f32x4(b3, b7, 0x88));
  store(out + 4 * out_stride, _mm512_shuffle_f32x4(b0, b4, 0xDD));
  store(out + 5 * out_stride, _mm512_shuffle_f32x4(b1, b5, 0xDD));
  store(out + 6 * out_stride, _mm512_shuffle_f32x4(b2, b6, 0xDD));
  store(out + 7 * out_stride, _mm512_shuffle_f32x4(b3, b7, 0xDD));
}

}  // namespace
}  // namespace quantnoise::kernels
