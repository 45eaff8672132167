#pragma once
// The loops of affine quantization, compiled once for each instruction set. What is left over of a range goes
// through the same vectors, padded: every element sees the same arithmetic wherever it lies.

#include "core/kernels/philox_lanes.h"
#include "quantnoise/kernels/affine.h"

namespace quantnoise::kernels {
namespace {

using Bytes = uint8_t __attribute__((vector_size(kLanes)));
using HalfFloats = float __attribute__((vector_size(kLanes * 2)));
using Doubles = double __attribute__((vector_size(kLanes * 4)));

template <typename In>
inline Floats load_part(const In* from, int64_t count) {
  In padded[kLanes] = {};
  for (int64_t i = 0; i < count; ++i) padded[i] = from[i];
  return load(padded);
}

template <typename Out>
inline void store_part(Out* to, Floats value, int64_t count) {
  Out padded[kLanes];
  store(padded, value);
  for (int64_t i = 0; i < count; ++i) to[i] = padded[i];
}

/// kLanes bytes ↔ kLanes whole numbers. g++ 12 makes slow code of its own conversions for the wide sets.
inline Ints load_bytes(const uint8_t* from) {
#if defined(__AVX512F__)
  return (Ints)_mm512_cvtepu8_epi32((__m128i)load_as<Bytes>(from));
#elif defined(__AVX2__)
  return (Ints)_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)));
#else
  return __builtin_convertvector(load_as<Bytes>(from), Ints);
#endif
}
/// The low byte of every element.
inline void store_bytes(uint8_t* to, Words values) {
#if defined(__AVX2__) && !defined(__AVX512F__)
  const __m256i low = _mm256_and_si256((__m256i)values, _mm256_set1_epi32(0xff));
  const __m256i halves = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, low), 0x08);
  const __m128i narrow = _mm256_castsi256_si128(halves);
  _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_packus_epi16(narrow, narrow));
#else
  store_as(to, __builtin_convertvector(values & 0xffu, Bytes));
#endif
}

/// A step with every number in all lanes.
struct StepLanes {
  explicit StepLanes(const AffineStep& step)
      : scale(broadcast(step.scale)),
        inverse_scale(broadcast(step.inverse_scale)),
        low(broadcast(step.low)),
        high(broadcast(step.high)) {}

  Floats scale, inverse_scale, low, high;
};

// 1.5 · 2^23: adding it rounds to a whole number (half to even) that sits in the low mantissa bits.
constexpr float kRounder = 12582912.0f;
constexpr uint32_t kRounderBits = 0x4B400000u;

/// The multiple of every element, still with kRounder added. Between product and sum lies the clipping: no
/// compiler fuses them, and all sets round alike.
inline Floats shifted_multiples(const StepLanes& step, Floats x) {
  Floats t = x * step.inverse_scale;
  t = step.high < t ? step.high : t;
  t = step.low > t ? step.low : t;
  return t + kRounder;
}

inline Floats multiples(const StepLanes& step, Floats x) { return shifted_multiples(step, x) - kRounder; }

inline Floats quantized(const StepLanes& step, Floats x) { return multiples(step, x) * step.scale; }

inline void quantize(const AffineStep& step, const float* x, int64_t count, uint8_t* codes) {
  const StepLanes lanes(step);
  const Words offset = Words{} + (kRounderBits - static_cast<uint32_t>(step.zero_point));
  const auto codes_of = [&](Floats values) { return (Words)shifted_multiples(lanes, values) - offset; };
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store_bytes(codes + i, codes_of(load(x + i)));
  if (i == count) return;
  uint8_t rest[kLanes];
  store_bytes(rest, codes_of(load_part(x + i, count - i)));
  for (int64_t j = 0; i + j < count; ++j) codes[i + j] = rest[j];
}

template <typename Out>
inline void dequantize(const AffineStep& step, const uint8_t* codes, int64_t count, Out* out) {
  const Floats scale = broadcast(step.scale);
  const auto values_of = [&](const uint8_t* from) {
    return __builtin_convertvector(load_bytes(from) - step.zero_point, Floats) * scale;
  };
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(out + i, values_of(codes + i));
  if (i == count) return;
  uint8_t rest[kLanes] = {};
  for (int64_t j = 0; i + j < count; ++j) rest[j] = codes[i + j];
  store_part(out + i, values_of(rest), count - i);
}

/// out = operation(x), element by element.
template <typename In, typename Out, typename Operation>
inline void transform(const In* x, int64_t count, Out* out, const Operation& operation) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(out + i, operation(load(x + i)));
  if (i < count) store_part(out + i, operation(load_part(x + i, count - i)), count - i);
}

template <typename In, typename Out>
inline void fake_quantize(const AffineStep& step, const In* x, int64_t count, Out* out) {
  const StepLanes lanes(step);
  transform(x, count, out, [&](Floats values) { return quantized(lanes, values); });
}

// Eight draws of 16 bits come from a counter, so a chain serves 8 · kLanes elements.
constexpr int64_t kChainElements = 8 * kLanes;
constexpr int kAffineChains = 2;

/// 16-bit draws of the elements from number 8 · group on, kChains · kChainElements of them.
template <int kChains>
inline void draw_elements(const AffineDraws& draws, uint64_t group, uint16_t* out) {
  uint64_t groups[kChains];
  for (int chain = 0; chain < kChains; ++chain) groups[chain] = group + static_cast<uint64_t>(chain * kLanes);
  Counter counters[kChains];
  run_philox<kChains>(draws, groups, counters);
  for (int chain = 0; chain < kChains; ++chain) {
    Words ordered[4];
    draws_in_order(counters[chain], ordered);
    // Little-endian: the low half of a word is the earlier draw.
    for (int i = 0; i < 4; ++i) store_as(out + chain * kChainElements + i * 2 * kLanes, ordered[i]);
  }
}

/// Elements with their 16-bit draws at hand.
template <typename In, typename Out>
inline void select_quantized(const StepLanes& step, uint16_t threshold, const uint16_t* draws, const In* x,
                             int64_t count, Out* out) {
  const auto select = [&](const uint16_t* from, Floats values) {
    const auto below = load_as<Halves>(from) < threshold;
    return __builtin_convertvector(below, Ints) != 0 ? quantized(step, values) : values;
  };
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(out + i, select(draws + i, load(x + i)));
  if (i == count) return;
  uint16_t rest[kLanes] = {};
  for (int64_t j = 0; i + j < count; ++j) rest[j] = draws[i + j];
  store_part(out + i, select(rest, load_part(x + i, count - i)), count - i);
}

template <typename In, typename Out>
inline void noise(const AffineStep& step, const AffineDraws& draws, uint64_t first, const In* x,
                  int64_t count, Out* out) {
  if (draws.threshold == 0) return transform(x, count, out, [](Floats values) { return values; });
  if (draws.threshold > 0xffffu) return fake_quantize(step, x, count, out);
  const StepLanes lanes(step);
  const auto threshold = static_cast<uint16_t>(draws.threshold);
  uint16_t buffer[kAffineChains * kChainElements];
  for (int64_t done = 0; done < count;) {
    const uint64_t group = (first + static_cast<uint64_t>(done)) / 8;
    const auto skip = static_cast<int64_t>((first + static_cast<uint64_t>(done)) % 8);
    int64_t take = count - done;
    if (skip + take <= kChainElements) {
      draw_elements<1>(draws, group, buffer);
    } else {
      draw_elements<kAffineChains>(draws, group, buffer);
      take = take < kAffineChains * kChainElements - skip ? take : kAffineChains * kChainElements - skip;
    }
    select_quantized(lanes, threshold, buffer + skip, x + done, take, out + done);
    done += take;
  }
}

inline void min_max(const float* x, int64_t count, MinMax* seen) {
  Floats low = broadcast(seen->min), high = broadcast(seen->max);
  Floats poison = {};  // 0 times a value that is not finite is not a number
  const auto widen = [&](Floats values) {
    poison += values * 0.0f;
    low = values < low ? values : low;
    high = values > high ? values : high;
  };
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) widen(load(x + i));
  if (i < count) {
    float rest[kLanes];
    for (int64_t j = 0; j < kLanes; ++j) rest[j] = x[i + j < count ? i + j : i];
    widen(load(rest));
  }
  for (int lane = 0; lane < kLanes; ++lane) {
    seen->min = low[lane] < seen->min ? low[lane] : seen->min;
    seen->max = high[lane] > seen->max ? high[lane] : seen->max;
    seen->finite = seen->finite && poison[lane] == 0;
  }
  // Which of the two zeros was met first depends on the lanes.
  seen->min += 0.0f;
  seen->max += 0.0f;
}

inline void histogram(const HistogramBins& bins, const float* x, int64_t count, int64_t* counts) {
  constexpr float kFar = 1048576;
  const auto bins_of = [&](Floats values) {
    // The product is exact, but for values so small that it becomes 0: a negative one lies below.
    Floats t = values * bins.inverse_width;
    const Ints vanished = t == 0 && values < 0;
    t = t >= -kFar ? t : broadcast(-kFar);
    t = t > kFar ? broadcast(kFar) : t;
    const Ints towards_zero = __builtin_convertvector(t, Ints);
    const Ints above = __builtin_convertvector(towards_zero, Floats) > t;
    Ints bin = towards_zero + (above | vanished) - bins.first;  // true is −1
    bin = bin < 0 ? Ints{} : bin;
    return bin < bins.num_bins ? bin : Ints{} + (bins.num_bins - 1);
  };
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    int32_t bin[kLanes];
    store_as(bin, bins_of(load(x + i)));
    for (int lane = 0; lane < kLanes; ++lane) ++counts[bin[lane]];
  }
  if (i == count) return;
  int32_t bin[kLanes];
  store_as(bin, bins_of(load_part(x + i, count - i)));
  for (int64_t lane = 0; i + lane < count; ++lane) ++counts[bin[lane]];
}

/// The value, out of the compiler's sight for a moment: a product that passes here is rounded before it is
/// added, in every set.
inline Doubles rounded(Doubles value) {
#if defined(__AVX512F__)
  asm("" : "+v"(value));
#elif defined(__SSE2__)
  asm("" : "+x"(value));
#elif defined(__aarch64__)
  asm("" : "+w"(value));
#endif
  return value;
}

// Element i of a range belongs to sum i mod 16.
constexpr int kFitSums = 16;
constexpr int kFitVectors = kFitSums / kLanes;

struct FitSums {
  Doubles squared_error[2 * kFitVectors] = {};
  Doubles cross[2 * kFitVectors] = {};
  Doubles squares[2 * kFitVectors] = {};
};

inline void widen(Floats values, Doubles out[2]) {
  HalfFloats halves[2];
  __builtin_memcpy(halves, &values, sizeof(values));
  out[0] = __builtin_convertvector(halves[0], Doubles);
  out[1] = __builtin_convertvector(halves[1], Doubles);
}

/// kFitSums elements.
inline void add_fit(const StepLanes& step, const float* from, FitSums& sums) {
  for (int vector = 0; vector < kFitVectors; ++vector) {
    const Floats values = load(from + vector * kLanes);
    const Floats k = multiples(step, values);
    Doubles x[2], q[2], multiple[2];
    widen(values, x);
    widen(k * step.scale, q);
    widen(k, multiple);
    for (int half = 0; half < 2; ++half) {
      const int at = 2 * vector + half;
      const Doubles error = x[half] - q[half];
      sums.squared_error[at] += rounded(error * error);
      // These products are exact.
      sums.cross[at] += x[half] * multiple[half];
      sums.squares[at] += multiple[half] * multiple[half];
    }
  }
}

inline double in_order(const Doubles (&sums)[2 * kFitVectors]) {
  double total = 0;
  for (const Doubles& vector : sums) {
    for (int lane = 0; lane < kLanes / 2; ++lane) total += vector[lane];
  }
  return total;
}

inline void fit(const AffineStep& step, const float* x, int64_t count, AffineFit* result) {
  const StepLanes lanes(step);
  FitSums sums;
  int64_t i = 0;
  for (; i + kFitSums <= count; i += kFitSums) add_fit(lanes, x + i, sums);
  if (i < count) {
    float rest[kFitSums] = {};  // zeros add nothing
    for (int64_t j = 0; i + j < count; ++j) rest[j] = x[i + j];
    add_fit(lanes, rest, sums);
  }
  result->squared_error += in_order(sums.squared_error);
  result->cross += in_order(sums.cross);
  result->squares += in_order(sums.squares);
}

inline constexpr AffineCodeKernels affine_code_set(const char* name) {
  return {name, quantize, dequantize<float>, dequantize<uint16_t>};
}

inline constexpr AffineValueKernels affine_value_set(const char* name) {
  return {name, min_max, fake_quantize<float, float>, fake_quantize<uint16_t, uint16_t>,
          fake_quantize<float, uint16_t>};
}

inline constexpr AffineNoiseKernels affine_noise_set(const char* name) {
  return {name, noise<float, float>, noise<uint16_t, uint16_t>, noise<float, uint16_t>};
}

inline constexpr AffineRangeKernels affine_range_set(const char* name) { return {name, histogram, fit}; }

}  // namespace
}  // namespace quantnoise::kernels
