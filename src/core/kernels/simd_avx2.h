#pragma once
// Eight floats a vector, under the names the shared loops use. Anonymous: every file gets its own copy, so that no copy
// compiled for one instruction set is ever linked into another.

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
inline Floats add(Floats a, Floats b) { return _mm256_add_ps(a, b); }
inline Floats sub(Floats a, Floats b) { return _mm256_sub_ps(a, b); }
inline Floats fmadd(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }
inline Floats fnmadd(Floats a, Floats b, Floats c) { return _mm256_fnmadd_ps(a, b, c); }
inline Floats min(Floats a, Floats b) { return _mm256_min_ps(a, b); }
inline Floats max(Floats a, Floats b) { return _mm256_max_ps(a, b); }
inline Floats root(Floats a) { return _mm256_sqrt_ps(a); }
inline Mask less(Floats a, Floats b) { return _mm256_cmp_ps(a, b, _CMP_LT_OQ); }
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

}  // namespace
}  // namespace quantnoise::kernels
