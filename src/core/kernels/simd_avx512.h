#pragma once
// Sixteen floats a vector, under the names the shared loops use. Anonymous: every file gets its own copy, so that no
// copy compiled for one instruction set is ever linked into another.

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
inline Floats add(Floats a, Floats b) { return _mm512_add_ps(a, b); }
inline Floats sub(Floats a, Floats b) { return _mm512_sub_ps(a, b); }
inline Floats fmadd(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }
inline Floats fnmadd(Floats a, Floats b, Floats c) { return _mm512_fnmadd_ps(a, b, c); }
inline Floats min(Floats a, Floats b) { return _mm512_min_ps(a, b); }
inline Floats max(Floats a, Floats b) { return _mm512_max_ps(a, b); }
inline Floats root(Floats a) { return _mm512_sqrt_ps(a); }
inline Mask less(Floats a, Floats b) { return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ); }
inline Ints choose(Mask mask, Ints if_set, Ints otherwise) {
  return _mm512_mask_mov_epi32(otherwise, mask, if_set);
}
/// The low 16 bits of every lane.
inline void store_low_halves(uint16_t* p, Ints v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(v));
}

}  // namespace
}  // namespace quantnoise::kernels
