#if defined(__x86_64__)

// Codes widened to 16 bits times 16-bit integers, added in twos: exact, unlike products of bytes, which
// saturate. The integers lie as int16: (step, part, half of the lanes, the bytes 0 and 2 of every lane, then
// 1 and 3).

#include <immintrin.h>

#include "core/kernels/affine_product_spec.h"

namespace quantnoise::kernels {
namespace {

constexpr int64_t kBytesAhead = 4096;

/// 32 codes as bytes from the 4 · bits bytes that hold them and up to 16 bytes behind; bits: 3 … 7. Codes are
/// spread by halves: eight codes in 64 bits, then four in 32, two in 16, one in 8.
struct Spread {
  explicit Spread(int bits)
      : bits(bits),
        from(_mm256_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, at(0), at(1), at(2), at(3), at(4), at(5), at(6), at(7),
                              0, 1, 2, 3, 4, 5, 6, 7, at(0), at(1), at(2), at(3), at(4), at(5), at(6),
                              at(7))) {}

  __m256i operator()(const uint8_t* packed) const {
    const auto load = [&](int64_t offset) {
      return _mm_loadu_si128(reinterpret_cast<const __m128i*>(packed + offset));
    };
    const __m256i eights = _mm256_shuffle_epi8(_mm256_set_m128i(load(2 * bits), load(0)), from);
    const __m256i fours = split(eights, 4 * bits, 32, _mm256_set1_epi64x((1ll << 4 * bits) - 1));
    const __m256i twos = split(fours, 2 * bits, 16, _mm256_set1_epi32((1 << 2 * bits) - 1));
    return split(twos, bits, 8, _mm256_set1_epi16(static_cast<int16_t>((1 << bits) - 1)));
  }

  char at(int i) const { return static_cast<char>(bits + i); }
  /// Of every element twice `width` bits wide: its lower `used` bits stay, the next ones move up to `width`.
  static __m256i split(__m256i v, int used, int width, __m256i mask) {
    const __m256i lower = _mm256_and_si256(v, mask);
    const __m256i upper = _mm256_andnot_si256(mask, v);
    const __m128i shift = _mm_cvtsi32_si128(width - used);
    return _mm256_or_si256(
        lower, width == 32   ? _mm256_and_si256(_mm256_sll_epi64(upper, shift), _mm256_slli_epi64(mask, 32))
               : width == 16 ? _mm256_and_si256(_mm256_sll_epi32(upper, shift), _mm256_slli_epi32(mask, 16))
                             : _mm256_and_si256(_mm256_sll_epi16(upper, shift), _mm256_slli_epi16(mask, 8)));
  }

  int bits;
  __m256i from;
};

/// The parts of half a step: 32 codes each.
struct Codes8 {
  static constexpr int kParts = 1;
  static constexpr int64_t kReach = 0;
  static constexpr int64_t half_bytes() { return 32; }
  explicit Codes8(int) {}
  void get(const uint8_t* at, __m256i (&parts)[1]) const {
    parts[0] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
  }
};

struct Codes4 {
  static constexpr int kParts = 2;
  static constexpr int64_t kReach = 0;
  static constexpr int64_t half_bytes() { return 32; }
  explicit Codes4(int) {}
  void get(const uint8_t* at, __m256i (&parts)[2]) const {
    const __m256i packed = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
    for (int p = 0; p < 2; ++p)
      parts[p] = _mm256_and_si256(p ? _mm256_srli_epi16(packed, 4) : packed, _mm256_set1_epi8(15));
  }
};

struct Codes2 {
  static constexpr int kParts = 4;
  static constexpr int64_t kReach = 0;
  static constexpr int64_t half_bytes() { return 32; }
  explicit Codes2(int) {}
  void get(const uint8_t* at, __m256i (&parts)[4]) const {
    const __m256i packed = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at));
    const __m256i mask = _mm256_set1_epi8(3);
    parts[0] = _mm256_and_si256(packed, mask);
    parts[1] = _mm256_and_si256(_mm256_srli_epi16(packed, 2), mask);
    parts[2] = _mm256_and_si256(_mm256_srli_epi16(packed, 4), mask);
    parts[3] = _mm256_and_si256(_mm256_srli_epi16(packed, 6), mask);
  }
};

struct CodesOdd {
  static constexpr int kParts = 1;
  static constexpr int64_t kReach = 16;
  explicit CodesOdd(int bits) : spread(bits) {}
  int64_t half_bytes() const { return 4 * spread.bits; }
  void get(const uint8_t* at, __m256i (&parts)[1]) const { parts[0] = spread(at); }
  Spread spread;
};

/// Sums of one row: lanes 0 … 7 and 8 … 15.
struct RowSums {
  __m256 halves[2] = {};

  template <typename Codes>
  void add(const Codes& codes, const uint8_t* at, const AffineInput& input, int64_t step) {
    const uint8_t* integers = input.integers + step * Codes::kParts * 128;
    for (int half = 0; half < 2; ++half) {
      const int64_t lanes = step * kAffineLanes + half * 8;
      __m256i parts[Codes::kParts];
      codes.get(at + half * codes.half_bytes(), parts);
      __m256i sums = _mm256_load_si256(reinterpret_cast<const __m256i*>(input.offsets + lanes));
      for (int p = 0; p < Codes::kParts; ++p) {
        const auto* x = reinterpret_cast<const __m256i*>(integers + p * 128 + half * 64);
        const __m256i even = _mm256_and_si256(parts[p], _mm256_set1_epi16(255));
        const __m256i odd = _mm256_srli_epi16(parts[p], 8);
        sums = _mm256_add_epi32(sums, _mm256_madd_epi16(even, _mm256_load_si256(x)));
        sums = _mm256_add_epi32(sums, _mm256_madd_epi16(odd, _mm256_load_si256(x + 1)));
      }
      const __m256 scaled = _mm256_mul_ps(_mm256_load_ps(input.factors + lanes), _mm256_cvtepi32_ps(sums));
      halves[half] = _mm256_add_ps(halves[half], scaled);
    }
  }
  float sum() const {
    alignas(32) float lanes[kAffineLanes];
    _mm256_store_ps(lanes, halves[0]);
    _mm256_store_ps(lanes + 8, halves[1]);
    return sum_of_lanes(lanes);
  }
};

/// Steps from which vectors would reach beyond the bytes of the row are read from a copy.
template <typename Codes>
void multiply_of(const AffineInput& input, const AffineRows& rows, float* out) {
  const Codes codes(input.steps.bits);
  const int64_t step_bytes = 2 * codes.half_bytes(), usable = rows.row_bytes - Codes::kReach;
  const int64_t num_direct = usable > 0 ? usable / step_bytes : 0;
  for (int64_t row = 0; row < rows.num_rows; ++row) {
    const uint8_t* from = rows.codes + row * rows.row_bytes;
    RowSums sums;
    for (int64_t step = 0; step < num_direct; ++step) {
      _mm_prefetch(reinterpret_cast<const char*>(from + step * step_bytes + kBytesAhead), _MM_HINT_T0);
      sums.add(codes, from + step * step_bytes, input, step);
    }
    for (int64_t step = num_direct; step < input.steps.num_steps; ++step) {
      const int64_t rest = rows.row_bytes - step * step_bytes;
      uint8_t copy[128] = {};
      __builtin_memcpy(copy, from + step * step_bytes,
                       static_cast<size_t>(rest < step_bytes ? rest : step_bytes));
      sums.add(codes, copy, input, step);
    }
    out[row] = sums.sum();
  }
}

void multiply(const AffineInput& input, const AffineRows& rows, float* out) noexcept {
  static constexpr decltype(&multiply_of<Codes8>) kByBits[] = {
      multiply_of<Codes2>,   multiply_of<CodesOdd>, multiply_of<Codes4>, multiply_of<CodesOdd>,
      multiply_of<CodesOdd>, multiply_of<CodesOdd>, multiply_of<Codes8>};
  kByBits[input.steps.bits - 2](input, rows, out);
}

inline int32_t largest_of(__m256i v) {
  alignas(32) int32_t lanes[8];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lanes), v);
  int32_t largest = 0;
  for (const int32_t lane : lanes) largest = lane > largest ? lane : largest;
  return largest;
}

/// 16 columns of x, filled up with zeros.
struct Group {
  Group(const float* x, int64_t count) {
    if (count < kAffineGroup) {
      __builtin_memcpy(copy, x, static_cast<size_t>(count > 0 ? count : 0) * sizeof(float));
      x = copy;
    }
    for (int v = 0; v < 2; ++v) values[v] = _mm256_loadu_ps(x + 8 * v);
  }
  uint32_t largest() const {
    __m256i most = _mm256_setzero_si256();
    for (const __m256& v : values)
      most = _mm256_max_epi32(most, _mm256_and_si256(_mm256_castps_si256(v), _mm256_set1_epi32(0x7fffffff)));
    return static_cast<uint32_t>(largest_of(most));
  }
  void to_integers(float inverse, int32_t* out) const {
    for (int v = 0; v < 2; ++v) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 8 * v),
                          _mm256_cvtps_epi32(_mm256_mul_ps(values[v], _mm256_set1_ps(inverse))));
    }
  }

  float copy[kAffineGroup] = {};
  __m256 values[2];
};

/// Where the integer of byte `byte` of a part lies.
inline int place(int byte) { return byte / 32 * 32 + byte % 2 * 16 + byte % 32 / 4 * 2 + byte % 4 / 2; }

bool quantize(const float* x, int64_t cols, const AffineInput& input) noexcept {
  const int parts = input.steps.parts, in_lane = 4 * parts;
  uint32_t largest_of_all = 0;
  for (int64_t column = 0; column < input.steps.num_steps * input.steps.columns(); column += kAffineGroup) {
    const Group group(column < cols ? x + column : x, cols - column);
    const uint32_t largest = group.largest();
    largest_of_all = largest > largest_of_all ? largest : largest_of_all;
    const GroupFactor factor(largest, input);
    int32_t integers[kAffineGroup];
    group.to_integers(factor.inverse, integers);
    for (int i = 0; i < kAffineGroup; i += in_lane) {
      const int64_t lane = (column + i) / in_lane, step = lane / kAffineLanes;
      uint32_t sum = 0;  // wraps where an input is out of range: it is refused below
      for (int k = 0; k < in_lane; ++k) {
        const int byte = static_cast<int>(lane % kAffineLanes) * 4 + k / parts;
        auto* to = reinterpret_cast<int16_t*>(input.integers) + (step * parts + k % parts) * 64;
        to[place(byte)] = static_cast<int16_t>(integers[i + k]);
        sum += static_cast<uint32_t>(integers[i + k]);
      }
      input.offsets[lane] = static_cast<int32_t>(0u - static_cast<uint32_t>(input.steps.middle()) * sum);
      input.factors[lane] = factor.factor;
    }
  }
  return fits(largest_of_all);
}

void unpack(const uint8_t* codes, int bits, int64_t count, uint8_t* out) noexcept {
  if (bits == 8) {
    __builtin_memcpy(out, codes, static_cast<size_t>(count));
    return;
  }
  int64_t i = 0;
  if (bits > 2) {
    const Spread spread(bits);
    for (; (i * bits + 7) / 8 + 2 * bits + 16 <= count * bits / 8; i += 32)
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i), spread(codes + i / 8 * bits));
  }
  unpack_one_by_one(codes, bits, i, count, out);
}

}  // namespace

const AffineProductKernels kAffineProductAvx2 = {"avx2", quantize, multiply, unpack};
const AffineProductKernels kAffineProductAvx512 = {"avx512", quantize, multiply, unpack};

}  // namespace quantnoise::kernels

#endif
