#pragma once
// Smallest and largest entries of the tables of a chunk: vectors of candidates are kept for every block and
// reduced for many blocks at a time, by zipping two vectors and comparing the halves. What runs once a chunk
// is not inlined: the loops of all block sizes share it.

#include "core/kernels/lookup_simd.h"
#include "core/kernels/lookup_spec.h"

namespace quantnoise::kernels {
namespace {

/// Zeros for the blocks that the last group lacks; groups are of `together` blocks, slots of 16.
template <typename Candidates>
inline void clear_rest(Candidates* candidates, int num_blocks, int together) {
  const int group = together > 16 ? together : 16;
  for (int i = num_blocks / group * group; i < (num_blocks + group - 1) / group * group; ++i)
    candidates[i] = Candidates{};
}

/// Candidates of 16-bit integers: eight a block.
class IntegerRanges {
 public:
  struct Extremes {
    void take(Ints values) {
      low = min_i16(low, values);
      high = max_i16(high, values);
    }
    Ints low = set_i16(0x7fff), high = set_i16(-0x8000);
  };

  explicit IntegerRanges(int num_blocks) {
    clear_rest(low_, num_blocks, kTogether);
    clear_rest(high_, num_blocks, kTogether);
  }
  /// low, high: vectors whose smallest and largest elements are those of the block.
  void set(int block, Ints low, Ints high) {
    _mm_store_si128(low_ + place(block), least_of_lanes_i16(low));
    _mm_store_si128(high_ + place(block), greatest_of_lanes_i16(high));
  }
  [[gnu::noinline]] void finish(EntryRange& ranges) const {
    for (int first = 0; first < ranges.num_slots; first += kTogether) {
      const Ints low = reduce<true>(low_ + first), high = reduce<false>(high_ + first);
      for (int half = 0; half < 2; ++half) {
        const Ints least = widen_i16(half ? upper_half(low) : lower_half(low));
        const Ints greatest = widen_i16(half ? upper_half(high) : lower_half(high));
        store_floats(ranges.low + first + half * kLanes, to_floats(least));
        store_floats(ranges.range + first + half * kLanes, to_floats(sub_i32(greatest, least)));
      }
    }
  }

 private:
  static constexpr int kTogether = 8 * kVectorLanes;

  /// Block 8 · lane + w of a group stands in lane `lane` of vector w.
  static int place(int block) {
    const int in_group = block % kTogether;
    return block - in_group + in_group % 8 * kVectorLanes + in_group / 8;
  }
  template <bool kLeast>
  static Ints combine(Ints a, Ints b) {
    const Ints low = zip_low_i16(a, b), high = zip_high_i16(a, b);
    return kLeast ? min_i16(low, high) : max_i16(low, high);
  }
  template <bool kLeast>
  static Ints reduce(const __m128i* from) {
    Ints v[8];
    for (int w = 0; w < 8; ++w) v[w] = load_ints(from + w * kVectorLanes);
    for (int count = 4; count > 0; count /= 2) {
      for (int w = 0; w < count; ++w) v[w] = combine<kLeast>(v[w], v[w + count]);
    }
    return v[0];
  }

  alignas(64) __m128i low_[kMaxChunkBlocks];
  alignas(64) __m128i high_[kMaxChunkBlocks];
};

/// Candidates of floats: four a block.
class FloatRanges {
 public:
  struct Extremes {
    void take(Floats values) {
      low = min_f32(low, values);
      high = max_f32(high, values);
    }
    Floats low = set_f32(__builtin_inff()), high = set_f32(-__builtin_inff());
  };

  explicit FloatRanges(int num_blocks) {
    clear_rest(low_, num_blocks, kTogether);
    clear_rest(high_, num_blocks, kTogether);
  }
  void set(int block, Floats low, Floats high) {
    low_[place(block)] = least_of_lanes_f32(low);
    high_[place(block)] = greatest_of_lanes_f32(high);
  }
  [[gnu::noinline]] void finish(EntryRange& ranges) const {
    for (int first = 0; first < ranges.num_slots; first += kTogether) {
      const Floats low = reduce<true>(low_ + first), high = reduce<false>(high_ + first);
      store_floats(ranges.low + first, low);
      store_floats(ranges.range + first, sub_f32(high, low));
    }
  }

 private:
  static constexpr int kTogether = 4 * kVectorLanes;

  static int place(int block) {
    const int in_group = block % kTogether;
    return block - in_group + in_group % 4 * kVectorLanes + in_group / 4;
  }
  template <bool kLeast>
  static Floats combine(Floats a, Floats b) {
    const Floats low = zip_low_f32(a, b), high = zip_high_f32(a, b);
    return kLeast ? min_f32(low, high) : max_f32(low, high);
  }
  template <bool kLeast>
  static Floats reduce(const __m128* from) {
    const auto load = [&](int w) {
      return load_floats(reinterpret_cast<const float*>(from + w * kVectorLanes));
    };
    return combine<kLeast>(combine<kLeast>(load(0), load(2)), combine<kLeast>(load(1), load(3)));
  }

  alignas(64) __m128 low_[kMaxChunkBlocks];
  alignas(64) __m128 high_[kMaxChunkBlocks];
};

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
    finish_chunk(sum_of_lows(ranges, kCutOff), step, unit, chunk);
  }
};

/// The same for 16 bits: (product − low) · multiplier.
struct WordSteps {
  alignas(64) float multiplier[kMaxChunkBlocks];

  [[gnu::noinline]] WordSteps(const EntryRange& ranges, LookupChunk& chunk) {
    const double lows = sum_of_lows(ranges, 0.0);
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
