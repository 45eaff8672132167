#include "core/kernels/kernel_functions.h"

#if QN_KERNELS_X86

#include <immintrin.h>

namespace quantnoise::kernels {
namespace {

struct Products {
  __m256i high, low;
};

// 32 × 32 → 64 bits in every lane.
inline Products multiply(__m256i a, __m256i constant) {
  const __m256i even = _mm256_mul_epu32(a, constant);
  const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), constant);
  return {_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA),
          _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA)};
}

inline __m256i exclusive_or(__m256i a, __m256i b, uint32_t key) {
  return _mm256_xor_si256(_mm256_xor_si256(a, b), _mm256_set1_epi32(static_cast<int>(key)));
}

// Philox4x32-10 of 8 consecutive groups; lane g of result r is word r of group first_group + g.
inline void philox8(const NoiseArgs& args, uint64_t first_group, __m256i words[4]) {
  const __m256i lanes = _mm256_set_epi32(7, 6, 5, 4, 3, 2, 1, 0);
  // first_group is a multiple of 8, so the low word does not overflow.
  __m256i c0 = _mm256_add_epi32(_mm256_set1_epi32(static_cast<int>(first_group)), lanes);
  __m256i c1 = _mm256_set1_epi32(static_cast<int>(first_group >> 32));
  __m256i c2 = _mm256_set1_epi32(static_cast<int>(args.update));
  __m256i c3 = _mm256_set1_epi32(static_cast<int>(args.micro_batch));
  const __m256i multiplier0 = _mm256_set1_epi64x(0xD2511F53), multiplier1 = _mm256_set1_epi64x(0xCD9E8D57);
  uint32_t key0 = args.key[0], key1 = args.key[1];
  for (int round = 0; round < 10; ++round) {
    const Products p0 = multiply(c0, multiplier0), p1 = multiply(c2, multiplier1);
    c0 = exclusive_or(p1.high, c1, key0);
    c2 = exclusive_or(p0.high, c3, key1);
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

// Bit 4·g + r: word r of group first_group + g is below the threshold.
inline uint32_t noised_bits32(const NoiseArgs& args, uint64_t first_group) {
  __m256i words[4];
  philox8(args, first_group, words);
  const __m256i last = _mm256_set1_epi32(static_cast<int>(static_cast<uint32_t>(args.threshold - 1)));
  __m256i nibbles = _mm256_setzero_si256();
  for (int word = 0; word < 4; ++word) {
    const __m256i below = _mm256_cmpeq_epi32(_mm256_min_epu32(words[word], last), words[word]);
    nibbles = _mm256_or_si256(nibbles, _mm256_and_si256(below, _mm256_set1_epi32(1 << word)));
  }
  alignas(32) uint32_t values[8];
  _mm256_store_si256(reinterpret_cast<__m256i*>(values), nibbles);
  uint32_t bits = 0;
  for (int group = 0; group < 8; ++group) bits |= values[group] << (4 * group);
  return bits;
}

inline uint64_t noised_bits(const NoiseArgs& args, uint64_t first) {
  if (args.threshold == 0) return 0;
  return noised_bits32(args, first / 4) | static_cast<uint64_t>(noised_bits32(args, first / 4 + 8)) << 32;
}

inline void put(__m256 v, float* out) { _mm256_storeu_ps(out, v); }
inline void put(__m128 v, float* out) { _mm_storeu_ps(out, v); }
inline void put(float v, float* out) { *out = v; }

// Rounds to nearest even; a NaN stays one. The result lies in the low halves of the lanes.
inline __m256i round_bf16(__m256 v) {
  const __m256i bits = _mm256_castps_si256(v);
  const __m256i upper = _mm256_srli_epi32(bits, 16);
  const __m256i odd = _mm256_and_si256(upper, _mm256_set1_epi32(1));
  const __m256i rounded =
      _mm256_srli_epi32(_mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd), 16);
  const __m256i quiet = _mm256_or_si256(upper, _mm256_set1_epi32(0x40));
  return _mm256_blendv_epi8(rounded, quiet, _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q)));
}

inline __m128i narrow(__m256i v) {
  return _mm256_castsi256_si128(_mm256_permute4x64_epi64(_mm256_packus_epi32(v, v), 0x08));
}

inline void put(__m256 v, uint16_t* out) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(out), narrow(round_bf16(v)));
}
inline void put(__m128 v, uint16_t* out) {
  _mm_storel_epi64(reinterpret_cast<__m128i*>(out), narrow(round_bf16(_mm256_castps128_ps256(v))));
}
inline void put(float v, uint16_t* out) {
  *out = static_cast<uint16_t>(_mm256_extract_epi16(round_bf16(_mm256_set1_ps(v)), 0));
}

template <typename Out>
inline void put_scaled(const float* block, int count, float scale, Out* out) {
  int j = 0;
  for (; j + 8 <= count; j += 8)
    put(_mm256_mul_ps(_mm256_loadu_ps(block + j), _mm256_set1_ps(scale)), out + j);
  if (j + 4 <= count) {
    put(_mm_mul_ps(_mm_loadu_ps(block + j), _mm_set1_ps(scale)), out + j);
    j += 4;
  }
  for (; j < count; ++j) put(block[j] * scale, out + j);
}

template <typename Out>
inline void put_constant(float value, int count, Out* out) {
  int j = 0;
  for (; j + 8 <= count; j += 8) put(_mm256_set1_ps(value), out + j);
  for (; j < count; ++j) put(value, out + j);
}

}  // namespace
}  // namespace quantnoise::kernels

#include "core/kernels/noise_simd.h"

namespace quantnoise::kernels {

const NoiseKernels kNoiseAvx2 = {"avx2", noise_f32, noise_bf16};

}  // namespace quantnoise::kernels

#endif
