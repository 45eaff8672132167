#include "core/kernels/kernel_functions.h"

#if QN_KERNELS_X86

#include <immintrin.h>

namespace quantnoise::kernels {
namespace {

struct Products {
  __m512i high, low;
};

// 32 × 32 → 64 bits in every lane.
inline Products multiply(__m512i a, __m512i constant) {
  const __m512i even = _mm512_mul_epu32(a, constant);
  const __m512i odd = _mm512_mul_epu32(_mm512_srli_epi64(a, 32), constant);
  return {_mm512_mask_mov_epi32(_mm512_srli_epi64(even, 32), 0xAAAA, odd),
          _mm512_mask_mov_epi32(even, 0xAAAA, _mm512_slli_epi64(odd, 32))};
}

// Philox4x32-10 of 16 consecutive groups; lane g of result r is word r of group first_group + g.
inline void philox16(const NoiseArgs& args, uint64_t first_group, __m512i words[4]) {
  const __m512i lanes = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  // first_group is a multiple of 16, so the low word does not overflow.
  __m512i c0 = _mm512_add_epi32(_mm512_set1_epi32(static_cast<int>(first_group)), lanes);
  __m512i c1 = _mm512_set1_epi32(static_cast<int>(first_group >> 32));
  __m512i c2 = _mm512_set1_epi32(static_cast<int>(args.update));
  __m512i c3 = _mm512_set1_epi32(static_cast<int>(args.micro_batch));
  const __m512i multiplier0 = _mm512_set1_epi64(0xD2511F53), multiplier1 = _mm512_set1_epi64(0xCD9E8D57);
  uint32_t key0 = args.key[0], key1 = args.key[1];
  for (int round = 0; round < 10; ++round) {
    const Products p0 = multiply(c0, multiplier0), p1 = multiply(c2, multiplier1);
    c0 = _mm512_ternarylogic_epi32(p1.high, c1, _mm512_set1_epi32(static_cast<int>(key0)), 0x96);
    c2 = _mm512_ternarylogic_epi32(p0.high, c3, _mm512_set1_epi32(static_cast<int>(key1)), 0x96);
    c1 = p1.low;
    c3 = p0.low;
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  words[0] = c0;
  words[1] = c1;
  words[2] = c2;
  words[3] = c3;
}

inline uint64_t noised_bits(const NoiseArgs& args, uint64_t first) {
  if (args.threshold == 0) return 0;
  __m512i words[4];
  philox16(args, first / 4, words);
  const __m512i last = _mm512_set1_epi32(static_cast<int>(static_cast<uint32_t>(args.threshold - 1)));
  __m512i nibbles = _mm512_setzero_si512();
  for (int word = 0; word < 4; ++word) {
    const __mmask16 below = _mm512_cmple_epu32_mask(words[word], last);
    nibbles = _mm512_mask_or_epi32(nibbles, below, nibbles, _mm512_set1_epi32(1 << word));
  }
  const __m128i bytes = _mm512_cvtepi32_epi8(nibbles);
  const __m128i pairs = _mm_maddubs_epi16(bytes, _mm_set1_epi16(0x1001));
  return static_cast<uint64_t>(_mm_cvtsi128_si64(_mm_packus_epi16(pairs, pairs)));
}

inline __mmask16 first_lanes(int count) { return static_cast<__mmask16>((1u << count) - 1); }

inline void put(__m512 v, float* out) { _mm512_storeu_ps(out, v); }
inline void put(__m512 v, __mmask16 lanes, float* out) { _mm512_mask_storeu_ps(out, lanes, v); }

// Rounds to nearest even; a NaN stays one.
inline __m256i bf16_of(__m512 v) {
  const __m512i bits = _mm512_castps_si512(v);
  const __m512i upper = _mm512_srli_epi32(bits, 16);
  const __m512i odd = _mm512_and_si512(upper, _mm512_set1_epi32(1));
  const __m512i rounded =
      _mm512_srli_epi32(_mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd), 16);
  const __mmask16 is_nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
  const __m512i result = _mm512_mask_or_epi32(rounded, is_nan, upper, _mm512_set1_epi32(0x40));
  return _mm512_cvtepi32_epi16(result);
}
inline void put(__m512 v, uint16_t* out) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), bf16_of(v)); }
inline void put(__m512 v, __mmask16 lanes, uint16_t* out) {
  _mm256_mask_storeu_epi16(out, lanes, bf16_of(v));
}

template <typename Out>
inline void put_scaled(const float* block, int count, float scale, Out* out) {
  const __m512 factor = _mm512_set1_ps(scale);
  int j = 0;
  for (; j + 16 <= count; j += 16) put(_mm512_mul_ps(_mm512_loadu_ps(block + j), factor), out + j);
  if (j < count) {
    const __mmask16 lanes = first_lanes(count - j);
    put(_mm512_mul_ps(_mm512_maskz_loadu_ps(lanes, block + j), factor), lanes, out + j);
  }
}

template <typename Out>
inline void put_constant(float value, int count, Out* out) {
  for (int j = 0; j < count; j += 16) {
    put(_mm512_set1_ps(value), count - j >= 16 ? 0xFFFF : first_lanes(count - j), out + j);
  }
}

}  // namespace
}  // namespace quantnoise::kernels

#include "core/kernels/noise_simd.h"

namespace quantnoise::kernels {

const NoiseKernels kNoiseAvx512 = {"avx512", noise_f32, noise_bf16};

}  // namespace quantnoise::kernels

#endif
