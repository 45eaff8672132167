#pragma once
// Smallest and largest entries of the tables of a chunk: a vector of candidates is kept for every two blocks
// and reduced for many of them at a time, by zipping two vectors and comparing the halves. What runs once a
// chunk is not inlined: the loops of all block sizes share it.

#include "core/kernels/lookup_simd.h"
#include "core/kernels/lookup_spec.h"

namespace quantnoise::kernels {
namespace {

// A pair of blocks leaves one vector: in every lane of 128 bits candidates for the smallest and the largest
// entry of both, the latter negated so that all of them are minima.

/// Extremes of 16-bit integers.
class IntegerRanges {
 public:
  struct Extremes {
    void take(Ints values) {
      low = min_i16(low, values);
      high = max_i16(high, values);
    }
    Ints low = set_i16(0x7fff), high = set_i16(-0x8000);
  };

  /// Blocks that a chunk of num_blocks lacks have zeros.
  IntegerRanges(int num_blocks, int num_slots) {
    for (int i = (num_blocks + 1) / 2 * 2; i < num_slots; i += 2) set(i, nothing(), nothing());
  }
  /// Blocks i (even) and i + 1.
  void set(int i, const Extremes& first, const Extremes& second) {
    pairs_[i / 2] = least_of_two(both(first), both(second));  // lows of first, second, highs, …
  }
  [[gnu::noinline]] void finish(EntryRange& ranges) const {
    for (int first = 0; first < ranges.num_slots; first += kLanes) {
      Ints lanes[kVectorLanes];
      for (int k = 0; k < kVectorLanes; ++k) {
        const Ints* two = pairs_ + first / 2 + 2 * k;
        lanes[k] = min_i16(zip_low_i32(two[0], two[1]), zip_high_i32(two[0], two[1]));
      }
      const Ints all = halves_of_lanes(least_across_lanes_i16(lanes));
      const Ints low = widen_i16(lower_half(all)), negated = widen_i16(upper_half(all));
      store_floats(ranges.low + first, to_floats(low));
      store_floats(ranges.range + first, to_floats(sub_i32(sub_i32(set_i32(-1), negated), low)));
    }
  }

 private:
  static Extremes nothing() { return {zero_ints(), zero_ints()}; }
  static Ints least_of_two(Ints a, Ints b) { return min_i16(zip_low_i16(a, b), zip_high_i16(a, b)); }
  static Ints both(const Extremes& of) { return least_of_two(of.low, sub_i16(set_i16(-1), of.high)); }

  Ints pairs_[kMaxChunkBlocks / 2];
};

/// Extremes of floats.
class FloatRanges {
 public:
  struct Extremes {
    void take(Floats values) {
      low = min_f32(low, values);
      high = max_f32(high, values);
    }
    Floats low = set_f32(__builtin_inff()), high = set_f32(-__builtin_inff());
  };

  FloatRanges(int num_blocks, int num_slots) {
    for (int i = (num_blocks + 1) / 2 * 2; i < num_slots; i += 2) pairs_[i / 2] = set_f32(0);
  }
  void set(int i, const Extremes& first, const Extremes& second) {
    pairs_[i / 2] = least_of_two(both(first), both(second));
  }
  [[gnu::noinline]] void finish(EntryRange& ranges) const {
    for (int first = 0; first < ranges.num_slots; first += kLanes) {
      Floats lows[kVectorLanes], negated[kVectorLanes];
      for (int k = 0; k < kVectorLanes; ++k) {
        const Floats* two = pairs_ + first / 2 + 2 * k;
        lows[k] = zip_low_f64(two[0], two[1]);
        negated[k] = zip_high_f64(two[0], two[1]);
      }
      const Floats low = least_across_lanes_f32(lows);
      const Floats high = sub_f32(set_f32(0), least_across_lanes_f32(negated));
      store_floats(ranges.low + first, low);
      store_floats(ranges.range + first, sub_f32(high, low));
    }
  }

 private:
  static Floats least_of_two(Floats a, Floats b) { return min_f32(zip_low_f32(a, b), zip_high_f32(a, b)); }
  static Floats both(const Extremes& of) { return least_of_two(of.low, sub_f32(set_f32(0), of.high)); }

  Floats pairs_[kMaxChunkBlocks / 2];
};

/// sum_of_lows(), its four sums in one vector.
inline double sum_of_lows_by_four(const EntryRange& ranges, double shift) {
  __m256d sums = _mm256_setzero_pd();
  for (int i = 0; i < ranges.num_slots; i += 4) {
    const __m256d low = _mm256_add_pd(_mm256_cvtps_pd(_mm_load_ps(ranges.low + i)), _mm256_set1_pd(shift));
    sums = _mm256_add_pd(sums, _mm256_mul_pd(_mm256_cvtps_pd(_mm_load_ps(ranges.factor + i)), low));
  }
  alignas(32) double four[4];
  _mm256_store_pd(four, sums);
  return (four[0] + four[1]) + (four[2] + four[3]);
}

inline float largest_step(const EntryRange& ranges, float num_steps, float finest) {
  Floats step = set_f32(0);
  for (int i = 0; i < ranges.num_slots; i += kLanes) {
    const Floats factor = load_floats(ranges.factor + i);
    const Floats needed = div_f32(mul_f32(factor, load_floats(ranges.range + i)), set_f32(num_steps));
    step = max_f32(step, max_f32(needed, mul_f32(factor, set_f32(finest))));
  }
  return greatest_f32(step);
}

/// How the upper halves of a chunk's blocks become entries of 8 bits: ((upper half − low) · multiplier) >>
/// 16, the offset being taken off `low`. Only the lower 16 bits count.
struct ByteSteps {
  alignas(64) int32_t low[kMaxChunkBlocks];
  alignas(64) int32_t multiplier[kMaxChunkBlocks];

  [[gnu::noinline]] ByteSteps(const EntryRange& ranges, float unit, LookupChunk& chunk) {
    const float step = largest_step(ranges, 255.0f, kFinestStep);
    const Floats inverse = set_f32(65536.0f / step);
    for (int i = 0; i < ranges.num_slots; i += kLanes) {
      const Ints factor =
          cut_to_ints(add_f32(mul_f32(load_floats(ranges.factor + i), inverse), set_f32(0.5f)));
      const Floats at_least_1 = to_floats(max_i32(factor, set_i32(1)));
      const Ints offset = cut_to_ints(div_f32(set_f32(32768.0f), at_least_1));
      store_ints(low + i, sub_i32(to_ints(load_floats(ranges.low + i)), offset));
      store_ints(multiplier + i, factor);
    }
    finish_chunk(sum_of_lows_by_four(ranges, kCutOff), step, unit, chunk);
  }
};

/// The same for 16 bits: (product − low) · multiplier.
struct WordSteps {
  alignas(64) float multiplier[kMaxChunkBlocks];

  [[gnu::noinline]] WordSteps(const EntryRange& ranges, LookupChunk& chunk) {
    const double lows = sum_of_lows_by_four(ranges, 0.0);
    const float needed = largest_step(ranges, 65535.0f, 0.0f), least = least_step(lows);
    const float step = needed > least ? needed : least;
    for (int i = 0; i < ranges.num_slots; i += kLanes) {
      const Floats steps = div_f32(load_floats(ranges.factor + i), set_f32(step));
      store_floats(multiplier + i, keep_where_positive(steps, set_f32(step)));
    }
    finish_chunk(lows, step, 1.0f, chunk);
  }
};

}  // namespace
}  // namespace quantnoise::kernels
