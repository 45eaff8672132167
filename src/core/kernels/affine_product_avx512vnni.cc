#if defined(__x86_64__)

// Products of unsigned codes with signed bytes. The integers lie as bytes: (step, part, upper halves 64,
// lower halves 64), or in 8 bits the integers themselves in the first 64.

#include <immintrin.h>

#include "core/kernels/affine_product_spec.h"

namespace quantnoise::kernels {
namespace {

inline __mmask64 first_bytes(int64_t count) {
  return count >= 64 ? ~__mmask64{0} : (__mmask64{1} << count) - 1;
}

/// 64 codes of 2 … 7 bits in their order: every eight of them lie in `bits` bytes.
struct Spread {
  explicit Spread(int bits) {
    uint8_t bytes[64], shifts[64];
    for (int i = 0; i < 64; ++i) {
      bytes[i] = static_cast<uint8_t>(i / 8 * bits + i % 8);
      shifts[i] = static_cast<uint8_t>(i % 8 * bits);
    }
    from = _mm512_loadu_si512(bytes);
    shift = _mm512_loadu_si512(shifts);
    mask = _mm512_set1_epi8(static_cast<char>((1 << bits) - 1));
  }
  __m512i operator()(__m512i packed) const {
    return _mm512_and_si512(_mm512_multishift_epi64_epi8(shift, _mm512_permutexvar_epi8(from, packed)), mask);
  }
  __m512i from, shift, mask;
};

/// The parts of a step: how its bytes become vectors of 64 codes.
/// Steps of 64 bytes.
struct WholeSteps {
  static constexpr bool kIsWhole = true;
  static constexpr int64_t step_bytes() { return 64; }
  static __m512i load(const uint8_t* at) { return _mm512_loadu_si512(at); }
};

struct Codes8 : WholeSteps {
  static constexpr int kParts = 1;
  explicit Codes8(int) {}
  void get(__m512i packed, __m512i (&parts)[1]) const { parts[0] = packed; }
};

struct Codes4 : WholeSteps {
  static constexpr int kParts = 2;
  explicit Codes4(int) {}
  void get(__m512i packed, __m512i (&parts)[2]) const {
    const __m512i mask = _mm512_set1_epi8(15);
    parts[0] = _mm512_and_si512(packed, mask);
    parts[1] = _mm512_and_si512(_mm512_srli_epi16(packed, 4), mask);
  }
};

struct Codes2 : WholeSteps {
  static constexpr int kParts = 4;
  explicit Codes2(int) {}
  void get(__m512i packed, __m512i (&parts)[4]) const {
    const __m512i mask = _mm512_set1_epi8(3);
    parts[0] = _mm512_and_si512(packed, mask);
    parts[1] = _mm512_and_si512(_mm512_srli_epi16(packed, 2), mask);
    parts[2] = _mm512_and_si512(_mm512_srli_epi16(packed, 4), mask);
    parts[3] = _mm512_and_si512(_mm512_srli_epi16(packed, 6), mask);
  }
};

struct CodesOdd {
  static constexpr int kParts = 1;
  static constexpr bool kIsWhole = false;
  explicit CodesOdd(int bits) : bytes(8 * bits), mask(first_bytes(bytes)), spread(bits) {}
  int64_t step_bytes() const { return bytes; }
  __m512i load(const uint8_t* at) const { return _mm512_maskz_loadu_epi8(mask, at); }
  void get(__m512i packed, __m512i (&parts)[1]) const { parts[0] = spread(packed); }

  int64_t bytes;
  __mmask64 mask;
  Spread spread;
};

/// What a step needs of the input.
template <int kParts, bool kPrecise>
struct StepInput {
  StepInput(const AffineInput& input, int64_t step)
      : offsets(_mm512_load_si512(input.offsets + step * kAffineLanes)),
        factors(_mm512_load_ps(input.factors + step * kAffineLanes)) {
    const uint8_t* from = input.integers + step * kParts * 128;
#pragma GCC unroll 4
    for (int p = 0; p < kParts; ++p) {
      upper[p] = _mm512_load_si512(from + p * 128);
      if (kPrecise) lower[p] = _mm512_load_si512(from + p * 128 + 64);
    }
  }

  __m512 product(const __m512i (&codes)[kParts]) const {
    __m512i sums = offsets;
    if (kPrecise) {
      __m512i uppers = _mm512_setzero_si512();
#pragma GCC unroll 4
      for (int p = 0; p < kParts; ++p) {
        uppers = _mm512_dpbusd_epi32(uppers, codes[p], upper[p]);
        sums = _mm512_dpbusd_epi32(sums, codes[p], lower[p]);
      }
      sums = _mm512_add_epi32(sums, _mm512_slli_epi32(uppers, 8));
    } else {
#pragma GCC unroll 4
      for (int p = 0; p < kParts; ++p) sums = _mm512_dpbusd_epi32(sums, codes[p], upper[p]);
    }
    return _mm512_mul_ps(factors, _mm512_cvtepi32_ps(sums));
  }

  __m512i offsets;
  __m512 factors;
  __m512i upper[kParts], lower[kParts];
};

inline float sum_of(__m512 lanes) {
  alignas(64) float values[kAffineLanes];
  _mm512_store_ps(values, lanes);
  return sum_of_lanes(values);
}

/// Bytes ahead that are asked for, several times, since a processor drops such wishes while its queue is
/// full. One row after the other is a single stream, which memory serves fastest when it is asked for pages
/// ahead.
template <int kRows, bool kStream>
struct Ahead {
  explicit Ahead(int64_t row_bytes) : bytes{kRows * row_bytes, 1024, 384} {}
  int64_t bytes[3];
};
template <int kRows>
struct Ahead<kRows, true> {
  explicit Ahead(int64_t) {}
  int64_t bytes[5] = {16384, 12288, 8192, 4096, 2048};
};

/// kRows rows side by side.
template <typename Codes, bool kPrecise, int kRows, bool kStream>
void multiply_rows(const AffineInput& input, const AffineRows& rows, int64_t first, float* out) {
  const Codes codes(input.steps.bits);
  __m512 sums[kRows];
  const uint8_t* from[kRows];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    sums[r] = _mm512_setzero_ps();
    from[r] = rows.codes + (first + r) * rows.row_bytes;
  }
  const Ahead<kRows, kStream> ahead(rows.row_bytes);
  const auto add = [&](int64_t step, const auto& load) {
    const StepInput<Codes::kParts, kPrecise> x(input, step);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      __m512i parts[Codes::kParts];
      codes.get(load(from[r] + step * codes.step_bytes()), parts);
      sums[r] = _mm512_add_ps(sums[r], x.product(parts));
    }
  };
  const int64_t last = input.steps.num_steps - 1;
  for (int64_t step = 0; step < last; ++step) {
    add(step, [&](const uint8_t* at) {
#pragma GCC unroll 5
      for (const int64_t bytes : ahead.bytes)
        _mm_prefetch(reinterpret_cast<const char*>(at + bytes), _MM_HINT_NTA);
      return codes.load(at);
    });
  }
  const __mmask64 rest = first_bytes(rows.row_bytes - last * codes.step_bytes());
  add(last, [&](const uint8_t* at) { return _mm512_maskz_loadu_epi8(rest, at); });
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) out[first + r] = sum_of(sums[r]);
}

/// Bytes of a row from which on it is worth being a stream of its own.
constexpr int64_t kLongRow = 2048;

template <typename Codes, bool kPrecise>
void multiply_of(const AffineInput& input, const AffineRows& rows, float* out) {
  int64_t row = 0;
  // A byte a code; the others take more work than memory.
  constexpr bool kIsWide = Codes::kParts == 1 && Codes::kIsWhole;
  constexpr int kTogether = Codes::kParts == 1 ? 4 : 8;
  if (kIsWide && rows.row_bytes >= kLongRow) {
    for (; row < rows.num_rows; ++row) multiply_rows<Codes, kPrecise, 1, kIsWide>(input, rows, row, out);
  }
  for (; row + kTogether <= rows.num_rows; row += kTogether)
    multiply_rows<Codes, kPrecise, kTogether, false>(input, rows, row, out);
  for (; row < rows.num_rows; ++row) multiply_rows<Codes, kPrecise, 1, false>(input, rows, row, out);
}

template <bool kPrecise>
void multiply_by_bits(const AffineInput& input, const AffineRows& rows, float* out) {
  static constexpr decltype(&multiply_of<Codes8, kPrecise>) kByBits[] = {
      multiply_of<Codes2, kPrecise>,   multiply_of<CodesOdd, kPrecise>, multiply_of<Codes4, kPrecise>,
      multiply_of<CodesOdd, kPrecise>, multiply_of<CodesOdd, kPrecise>, multiply_of<CodesOdd, kPrecise>,
      multiply_of<Codes8, kPrecise>};
  kByBits[input.steps.bits - 2](input, rows, out);
}

void multiply(const AffineInput& input, const AffineRows& rows, float* out) noexcept {
  (input.precise ? multiply_by_bits<true> : multiply_by_bits<false>)(input, rows, out);
}

/// 64 columns of x: four groups.
struct Groups {
  Groups(const float* x, int64_t count) {
    for (int g = 0; g < 4; ++g) {
      const int64_t left = count - kAffineGroup * g;
      const auto mask = static_cast<__mmask16>(left >= 16 ? 0xffff : left <= 0 ? 0 : (1 << left) - 1);
      values[g] = _mm512_maskz_loadu_ps(mask, x + (left > 0 ? kAffineGroup * g : 0));
    }
  }
  uint32_t largest(int g) const {
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    return static_cast<uint32_t>(
        _mm512_reduce_max_epi32(_mm512_and_si512(_mm512_castps_si512(values[g]), magnitude)));
  }
  /// The upper and the lower bytes of the integers; in 8 bits both are the integers.
  void to_bytes(const float (&inverses)[4], bool precise, __m512i& upper, __m512i& lower) const {
    __m128i low[4], high[4];
    for (int g = 0; g < 4; ++g) {
      const __m512i integers = _mm512_cvtps_epi32(_mm512_mul_ps(values[g], _mm512_set1_ps(inverses[g])));
      low[g] = _mm512_cvtepi32_epi8(integers);
      high[g] =
          _mm512_cvtepi32_epi8(_mm512_srai_epi32(_mm512_add_epi32(integers, _mm512_set1_epi32(128)), 8));
    }
    lower = join(low);
    upper = precise ? join(high) : lower;
  }
  static __m512i join(const __m128i (&parts)[4]) {
    return _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_set_m128i(parts[1], parts[0])),
                              _mm256_set_m128i(parts[3], parts[2]), 1);
  }

  __m512 values[4];
};

/// The bytes of 64 columns go to their parts: `to` is their place in part 0.
inline void store_parts(__m512i bytes, int parts, uint8_t* to) {
  if (parts == 1) _mm512_store_si512(to, bytes);
  if (parts == 2) {
    for (int p = 0; p < 2; ++p)
      _mm256_store_si256(reinterpret_cast<__m256i*>(to + p * 128),
                         _mm512_cvtepi16_epi8(p ? _mm512_srli_epi16(bytes, 8) : bytes));
  }
  if (parts == 4) {
    for (int p = 0; p < 4; ++p)
      _mm_store_si128(reinterpret_cast<__m128i*>(to + p * 128),
                      _mm512_cvtepi32_epi8(_mm512_srl_epi32(bytes, _mm_cvtsi32_si128(8 * p))));
  }
}

/// −middle · the lanes' sums of integers.
inline void store_offsets(const AffineInput& input, int64_t step) {
  const __m512i ones = _mm512_set1_epi8(1);
  __m512i sums = _mm512_setzero_si512(), uppers = _mm512_setzero_si512();
  for (int p = 0; p < input.steps.parts; ++p) {
    const uint8_t* from = input.integers + (step * input.steps.parts + p) * 128;
    uppers = _mm512_dpbusd_epi32(uppers, ones, _mm512_load_si512(from));
    if (input.precise) sums = _mm512_dpbusd_epi32(sums, ones, _mm512_load_si512(from + 64));
  }
  sums = input.precise ? _mm512_add_epi32(sums, _mm512_slli_epi32(uppers, 8)) : uppers;
  const __m512i scaled = _mm512_sll_epi32(sums, _mm_cvtsi32_si128(input.steps.bits - 1));
  _mm512_store_si512(input.offsets + step * kAffineLanes, _mm512_sub_epi32(_mm512_setzero_si512(), scaled));
}

bool quantize(const float* x, int64_t cols, const AffineInput& input) noexcept {
  const int parts = input.steps.parts, lanes_in_group = 4 / parts;
  uint32_t largest_of_all = 0;
  for (int64_t step = 0; step < input.steps.num_steps; ++step) {
    float* factors = input.factors + step * kAffineLanes;
    for (int q = 0; q < parts; ++q) {
      const int64_t column = (step * parts + q) * 64;
      const Groups groups(column < cols ? x + column : x, cols - column);
      float inverses[4];
      for (int g = 0; g < 4; ++g) {
        const uint32_t largest = groups.largest(g);
        largest_of_all = largest > largest_of_all ? largest : largest_of_all;
        const GroupFactor factor(largest, input);
        inverses[g] = factor.inverse;
        for (int lane = 0; lane < lanes_in_group; ++lane) *factors++ = factor.factor;
      }
      __m512i upper, lower;
      groups.to_bytes(inverses, input.precise, upper, lower);
      uint8_t* to = input.integers + step * parts * 128 + q * (64 / parts);
      store_parts(upper, parts, to);
      if (input.precise) store_parts(lower, parts, to + 64);
    }
    store_offsets(input, step);
  }
  return fits(largest_of_all);
}

void unpack(const uint8_t* codes, int bits, int64_t count, uint8_t* out) noexcept {
  if (bits == 8) {
    __builtin_memcpy(out, codes, static_cast<size_t>(count));
    return;
  }
  const Spread spread(bits);
  for (int64_t i = 0; i < count; i += 64) {
    const int64_t here = count - i < 64 ? count - i : 64;
    const __m512i packed = _mm512_maskz_loadu_epi8(first_bytes((here * bits + 7) / 8), codes + i / 8 * bits);
    _mm512_mask_storeu_epi8(out + i, first_bytes(here), spread(packed));
  }
}

}  // namespace

const AffineProductKernels kAffineProductAvx512Vnni = {"avx512vnni", quantize, multiply, unpack};

}  // namespace quantnoise::kernels

#endif
