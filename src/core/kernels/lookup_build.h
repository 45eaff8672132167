#pragma once
// Rounding of the input and building of the tables, compiled once for each instruction set with vectors.

#include "core/kernels/lookup_ranges.h"

namespace quantnoise::kernels {
namespace {

/// values[j], lane i: element j of block i of `count` blocks; zeros for blocks beyond.
inline void load_blocks(const float* x, int block_size, int64_t count, Floats* values) {
  if (count >= kLanes && block_size % 4 == 0) {
    for (int j = 0; j < block_size; j += 4) load_four_columns(x + j, block_size, values + j);
    return;
  }
  for (int j = 0; j < block_size; ++j) values[j] = count > 0 ? gather(x + j, block_size, count) : set_f32(0);
}

/// kLanes blocks from `block` on.
inline void quantize_blocks(const float* x, const LookupInput& input, int64_t block) {
  Floats values[2 * kMaxPairs + 1];
  load_blocks(x + block * input.block_size, input.block_size, input.num_blocks - block, values);
  Floats norm = set_f32(0);
  for (int j = 0; j < input.block_size; ++j) norm = add_f32(norm, mul_f32(values[j], values[j]));
  values[input.block_size] = set_f32(0);  // fills the last pair of an odd size
  const Floats root = root_f32(norm);
  const Floats inverse = keep_where_positive(div_f32(set_f32(kIntegerNorm), root), norm);
  store_floats(input.norms + block, norm);
  store_floats(input.factors + block, div_f32(root, set_f32(kIntegerNorm)));
  int32_t* to =
      input.pairs + (block / kBlocksInGroup) * input.num_pairs * kBlocksInGroup + block % kBlocksInGroup;
  for (int p = 0; p < input.num_pairs; ++p) {
    const Ints low = bits_and(to_ints(mul_f32(values[2 * p], inverse)), set_i32(0xffff));
    const Ints high = shift_left_i32<16>(to_ints(mul_f32(values[2 * p + 1], inverse)));
    store_ints(to + p * kBlocksInGroup, bits_or(low, high));
  }
}

inline void quantize_input(const float* x, const LookupInput& input) noexcept {
  const int64_t num_padded = (input.num_blocks + kBlocksInGroup - 1) / kBlocksInGroup * kBlocksInGroup;
  for (int64_t block = 0; block < num_padded; block += kLanes) quantize_blocks(x, input, block);
}

inline int64_t select_blocks(const float* norms, int64_t num_blocks, float least, float most,
                             int32_t* numbers) noexcept {
#if defined(__AVX512BW__)
  int64_t count = 0;
  Ints at = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  for (int64_t b = 0; b < num_blocks; b += kLanes, at = add_i32(at, set_i32(kLanes))) {
    const Floats norm = load_floats(norms + b);
    const __mmask16 taken = _mm512_mask_cmp_ps_mask(_mm512_cmp_ps_mask(norm, set_f32(least), _CMP_GT_OQ),
                                                    norm, set_f32(most), _CMP_LE_OQ);
    const int num_taken = __builtin_popcount(taken);
    // In a register first: compressing stores are slow on some processors.
    _mm512_mask_storeu_epi32(numbers + count, static_cast<__mmask16>((1u << num_taken) - 1),
                             _mm512_maskz_compress_epi32(taken, at));
    count += num_taken;
  }
  return count;
#else
  return select_blocks_by_one(norms, num_blocks, least, most, numbers);
#endif
}

/// Stands for a number of pairs that the compiler does not know: loops of their own have the usual block
/// sizes only.
constexpr int kAnyPairs = 0;

/// Dot products of a block with kLanes centroids.
template <int kPairs>
struct BlockProducts {
  BlockProducts(const int32_t* block, int num_pairs) : num_pairs(kPairs == kAnyPairs ? num_pairs : kPairs) {
    for (int p = 0; p < count(); ++p) x[p] = set_i32(block[p * kBlocksInGroup]);
  }
  int count() const { return kPairs == kAnyPairs ? num_pairs : kPairs; }
  Ints with(const int32_t* centroids, int vector) const {
    Ints sums = zero_ints();
    const int32_t* from = centroids + vector * count() * kLanes;
    for (int p = 0; p < count(); ++p) sums = add_products(sums, x[p], load_ints(from + p * kLanes));
    return sums;
  }
  Ints x[kPairs == kAnyPairs ? kMaxPairs : kPairs];
  int num_pairs;
};

/// Replaces rows 1 … 7 of 16 bytes in both halves of a plane of 256 by their differences to the row above:
/// what the look-up by byte shuffles adds up again.
inline void make_differences(uint8_t* plane) {
  for (int half = 0; half < 2; ++half) {
    for (int row = 7; row > 0; --row) {
      auto* at = reinterpret_cast<__m128i*>(plane + half * 128 + row * 16);
      _mm_storeu_si128(at, _mm_sub_epi8(_mm_loadu_si128(at), _mm_loadu_si128(at - 1)));
    }
  }
}

/// Everything about one chunk.
struct ChunkWork {
  ChunkWork(const LookupCodebook& codebook, const LookupInput& input, const LookupTables& tables,
            LookupChunk& chunk)
      : codebook(codebook), input(input), tables(tables), chunk(chunk) {
    ranges.num_slots = (chunk.num_blocks + 15) / 16 * 16;
    for (int i = 0; i < chunk.num_blocks; ++i)
      ranges.factor[i] = input.factors[tables.order[chunk.first + i]];
    for (int i = chunk.num_blocks; i < ranges.num_slots; ++i) ranges.factor[i] = 0;
  }
  /// The other block of a pair; the last one may be alone.
  int next(int i) const { return i + 1 < chunk.num_blocks ? i + 1 : i; }
  const int32_t* pairs(int i) const { return block_pairs(input, tables.order[chunk.first + i]); }
  uint8_t* entries(int i, int64_t bytes) const { return tables.entries + (chunk.first + i) * bytes; }

  const LookupCodebook& codebook;
  const LookupInput& input;
  const LookupTables& tables;
  LookupChunk& chunk;
  EntryRange ranges;
};

inline void store(int16_t* to, Ints values) { store_ints(to, values); }
inline void store(float* to, Floats values) { store_floats(to, values); }

/// What value(products, v) gives for the vectors v of blocks i and i + 1 of a chunk (the last one twice where
/// it has none behind it), kStep vectors of products at a time: centroids are loaded once for both.
template <int kPairs, int kStep, typename Element, typename Ranges, typename Value>
inline void fill_two(const ChunkWork& work, int i, Element (*values)[256], Ranges& ranges,
                     const Value& value) {
  const int next = work.next(i);
  const BlockProducts<kPairs> first(work.pairs(i), work.codebook.num_pairs);
  const BlockProducts<kPairs> second(work.pairs(next), work.codebook.num_pairs);
  typename Ranges::Extremes of_first, of_second;
#pragma GCC unroll 2
  for (int v = 0; v < 256 / kLanes; v += kStep) {
    const auto one = value(first, v), other = value(second, v);
    of_first.take(one);
    of_second.take(other);
    store(values[i] + v * kLanes, one);
    store(values[next] + v * kLanes, other);
  }
  ranges.set(i, of_first, of_second);
}

/// Tables of 256 entries of 8 bits. Upper halves of the products are kept in twos: four vectors of products
/// give two of them and, in the end, one of bytes.
template <int kPairs, bool kDifferences>
void build_bytes_256(ChunkWork& work, Prefetcher& prefetcher) {
  alignas(64) int16_t upper[kMaxChunkBlocks][256];
  IntegerRanges ranges(work.chunk.num_blocks, work.ranges.num_slots);
  const int32_t* centroids = work.codebook.shared_pairs;
  const auto two = [centroids](const BlockProducts<kPairs>& products, int v) {
    return zip_upper_halves(products.with(centroids, v), products.with(centroids, v + 1));
  };
  for (int i = 0; i < work.chunk.num_blocks; i += 2) {
    fill_two<kPairs, 2>(work, i, upper, ranges, two);
    prefetcher.advance(2);
  }
  ranges.finish(work.ranges);
  const ByteSteps steps(work.ranges, work.codebook.shared_factor * kUpperHalf, work.chunk);
  const int num_blocks = work.chunk.num_blocks;  // the compiler cannot know that bytes are not written to it
  uint8_t* to = work.entries(0, 256);
  for (int i = 0; i < num_blocks; ++i, to += 256) {
    const Ints low = set_i16(static_cast<int16_t>(steps.low[i]));
    const Ints multiplier = set_i16(static_cast<int16_t>(steps.multiplier[i]));
    const auto words = [&](int at) {
      return upper_product_u16(sub_i16(load_ints(upper[i] + at), low), multiplier);
    };
    for (int at = 0; at < 256; at += kVectorBytes)
      store_ints(to + at, pack_u16(words(at), words(at + kVectorBytes / 2)));
    if (kDifferences) make_differences(to);
  }
}

/// Products with the centroids' own factors.
template <int kPairs>
Floats scaled(const BlockProducts<kPairs>& products, const LookupCodebook& codebook, int vector) {
  return mul_f32(to_floats(products.with(codebook.own_pairs, vector)),
                 load_floats(codebook.own_factors + vector * kLanes));
}

/// Tables of 256 entries of 16 bits: a plane of low bytes, then one of high bytes.
template <int kPairs, bool kDifferences>
void build_words_256(ChunkWork& work, Prefetcher& prefetcher) {
  alignas(64) float products[kMaxChunkBlocks][256];
  FloatRanges ranges(work.chunk.num_blocks, work.ranges.num_slots);
  const auto product = [&](const BlockProducts<kPairs>& of_block, int v) {
    return scaled(of_block, work.codebook, v);
  };
  for (int i = 0; i < work.chunk.num_blocks; i += 2) {
    fill_two<kPairs, 1>(work, i, products, ranges, product);
    prefetcher.advance();
  }
  ranges.finish(work.ranges);
  const WordSteps steps(work.ranges, work.chunk);
  for (int i = 0; i < work.chunk.num_blocks; ++i) {
    const Floats low = set_f32(work.ranges.low[i]), multiplier = set_f32(steps.multiplier[i]);
    const auto words = [&](int vector) {
      return to_ints(mul_f32(sub_f32(load_floats(products[i] + vector * kLanes), low), multiplier));
    };
    uint8_t* to = work.entries(i, 512);
    for (int v = 0; v < 256 / kLanes; v += 4) {
      const Ints first = pack_u32(words(v), words(v + 1)), second = pack_u32(words(v + 2), words(v + 3));
      const Ints low_byte = set_i16(0xff);
      store_ints(to + v * kLanes, pack_u16(bits_and(first, low_byte), bits_and(second, low_byte)));
      store_ints(to + 256 + v * kLanes, pack_u16(shift_right_u16<8>(first), shift_right_u16<8>(second)));
    }
    if (kDifferences) {
      make_differences(to);
      make_differences(to + 256);
    }
    prefetcher.advance();
  }
}

/// Tables of 16 entries: one or two vectors of products a block; packed they fill the first dwords of every
/// lane of 128 bits.
constexpr int kLastOf16 = 16 / kLanes - 1;

template <int kPairs>
void build_bytes_16(ChunkWork& work, Prefetcher& prefetcher) {
  alignas(64) int16_t upper[kMaxChunkBlocks][2 * kLanes];
  IntegerRanges ranges(work.chunk.num_blocks, work.ranges.num_slots);
  const auto two = [&](int i) {
    const BlockProducts<kPairs> products(work.pairs(i), work.codebook.num_pairs);
    const Ints values = pack_i32(shift_right_i32<16>(products.with(work.codebook.shared_pairs, 0)),
                                 shift_right_i32<16>(products.with(work.codebook.shared_pairs, kLastOf16)));
    store_ints(upper[i], values);
    return IntegerRanges::Extremes{values, values};
  };
  for (int i = 0; i < work.chunk.num_blocks; i += 2) {
    ranges.set(i, two(i), two(work.next(i)));
    prefetcher.advance(2);
  }
  ranges.finish(work.ranges);
  const ByteSteps steps(work.ranges, work.codebook.shared_factor * kUpperHalf, work.chunk);
  for (int i = 0; i < work.chunk.num_blocks; ++i) {
    const Ints low = set_i16(static_cast<int16_t>(steps.low[i]));
    const Ints multiplier = set_i16(static_cast<int16_t>(steps.multiplier[i]));
    const Ints words = upper_product_u16(sub_i16(load_ints(upper[i]), low), multiplier);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(work.entries(i, 16)), first_of_lanes(pack_u16(words, words)));
    prefetcher.advance();
  }
}

template <int kPairs>
void build_words_16(ChunkWork& work, Prefetcher& prefetcher) {
  FloatRanges ranges(work.chunk.num_blocks, work.ranges.num_slots);
  const auto extremes = [&](int i) {
    const BlockProducts<kPairs> products(work.pairs(i), work.codebook.num_pairs);
    FloatRanges::Extremes of_block;
    of_block.take(scaled(products, work.codebook, 0));
    of_block.take(scaled(products, work.codebook, kLastOf16));
    return of_block;
  };
  for (int i = 0; i < work.chunk.num_blocks; i += 2) {
    ranges.set(i, extremes(i), extremes(work.next(i)));
    prefetcher.advance(2);
  }
  ranges.finish(work.ranges);
  const WordSteps steps(work.ranges, work.chunk);
  for (int i = 0; i < work.chunk.num_blocks; ++i) {
    const BlockProducts<kPairs> products(work.pairs(i), work.codebook.num_pairs);
    const auto entries = [&](int vector) {
      const Floats above = sub_f32(scaled(products, work.codebook, vector), set_f32(work.ranges.low[i]));
      return to_ints(mul_f32(above, set_f32(steps.multiplier[i])));
    };
    const Ints words = pack_u32(entries(0), entries(kLastOf16));
    const Ints low_bytes = bits_and(words, set_i16(0xff)), high_bytes = shift_right_u16<8>(words);
    auto* to = reinterpret_cast<__m128i*>(work.entries(i, 32));
    _mm_storeu_si128(to, first_of_lanes(pack_u16(low_bytes, low_bytes)));
    _mm_storeu_si128(to + 1, first_of_lanes(pack_u16(high_bytes, high_bytes)));
    prefetcher.advance();
  }
}

template <int kPairs, bool kDifferences>
void build_chunk_of(ChunkWork& work, BytesAhead ahead) {
  const bool bytes = work.tables.width == EntryWidth::k8Bits;
  Prefetcher prefetcher(ahead, work.chunk.num_blocks);  // while the products are computed
  if (work.tables.num_entries == 16) {
    bytes ? build_bytes_16<kPairs>(work, prefetcher) : build_words_16<kPairs>(work, prefetcher);
  } else {
    bytes ? build_bytes_256<kPairs, kDifferences>(work, prefetcher)
          : build_words_256<kPairs, kDifferences>(work, prefetcher);
  }
}

template <bool kDifferences>
void build_chunk(const LookupCodebook& codebook, const LookupInput& input, const LookupTables& tables,
                 LookupChunk& chunk, BytesAhead ahead) noexcept {
  // Block sizes 4 and 8, and all others.
  const auto build = codebook.num_pairs == 2   ? build_chunk_of<2, kDifferences>
                     : codebook.num_pairs == 4 ? build_chunk_of<4, kDifferences>
                                               : build_chunk_of<kAnyPairs, kDifferences>;
  ChunkWork work(codebook, input, tables, chunk);
  build(work, ahead);
}

}  // namespace
}  // namespace quantnoise::kernels
