#pragma once
// Sums of table entries, compiled once for each instruction set with vectors. Bytes are added as 16-bit words
// without unpacking: `all` sums even byte + 256 · odd byte, `odd` the odd bytes; the even ones are what
// remains, modulo 2^16. A chunk is short enough for that.

#include "core/kernels/lookup_simd.h"
#include "core/kernels/lookup_spec.h"

namespace quantnoise::kernels {
namespace {

constexpr int kWords = kVectorBytes / 2;

struct ByteSums {
  Ints all = zero_ints();
  Ints odd = zero_ints();

  void add(Ints bytes) {
    all = add_i16(all, bytes);
    odd = add_i16(odd, shift_right_u16<8>(bytes));
  }
  Ints even() const { return sub_i16(all, shift_left_i16<8>(odd)); }
};

/// Codes are asked for this many blocks ahead of their use, in the order of use: streams are short (a step of
/// 64 rows), the processor's own prefetching starts late on every page, and outliers lie anywhere. Several
/// times, since a processor drops such wishes while its queue is full; what came already costs nothing.
constexpr int kBlocksAhead[] = {36, 26, 16, 8};
/// Blocks that two planes take in turn.
constexpr int kBlocksInTurn = 16;

/// kToKeep: into all caches. kOnce: nobody reads these codes again soon, so they need not push the tables out
/// of the second-level cache; a gain only for kernels that wait for memory. kNone: for a few rows, whose
/// codes came while the tables were built, or whose heads were fetched.
enum class Fetch { kOnce, kToKeep, kNone };

template <Fetch kFetch>
inline void fetch(const uint8_t* at) {
  if (kFetch != Fetch::kNone)
    _mm_prefetch(reinterpret_cast<const char*>(at), kFetch == Fetch::kOnce ? _MM_HINT_NTA : _MM_HINT_T0);
}

/// Where a vector of codes comes from for block 0; with 16 entries and 512 bits 32 bytes of each of two
/// steps.
struct CodeVector {
  const uint8_t* parts[2];
};

/// 256 entries, 8-bit codes: as many rows as bytes. `Table` has one plane of one block: its look_up() puts
/// the entries in the place of some vectors of codes.
template <typename Table>
struct ByteCodes {
  static constexpr int kPlaneBytes = 256;
  static constexpr int kRowsInVector = kVectorBytes;
  static constexpr int kSumsInVector = 1;
  static constexpr Fetch kUsualFetch = Table::kWaitsForMemory ? Fetch::kOnce : Fetch::kToKeep;

  static const uint8_t* part(const LookupRows& rows, int row, int) {
    return step_of(rows, row / kStepRows) + row % kStepRows;
  }
  static const uint8_t* step_of(const LookupRows& rows, int step) {
    return rows.steps[step < rows.num_steps ? step : rows.num_steps - 1];
  }
  template <Fetch kFetch>
  static void fetch_codes(const CodeVector& vector, int64_t offset) {
    fetch<kFetch>(vector.parts[0] + offset);
  }
  template <int kVectors>
  static void add(const uint8_t* plane, const CodeVector (&vectors)[kVectors], int64_t offset,
                  ByteSums (&sums)[kVectors][1]) {
    Ints values[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) values[v] = load_ints(vectors[v].parts[0] + offset);
    Table(plane).look_up(values);
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) sums[v][0].add(values[v]);
  }
  /// Rows in their order from the sums of a vector.
  static void finish(const float* sums, Floats shift, float* out) {
    for (int i = 0; i < kWords; i += kLanes) {
      store_zipped(out + 2 * i, add_f32(load_floats(sums + i), shift),
                   add_f32(load_floats(sums + kWords + i), shift));
    }
  }
};

/// 16 entries, 4-bit codes: two rows a byte, the even one in the low half.
struct NibbleCodes {
  static constexpr int kPlaneBytes = 16;
  static constexpr int kRowsInVector = 2 * kVectorBytes;
  static constexpr int kSumsInVector = 2;
  static constexpr Fetch kUsualFetch = Fetch::kToKeep;

  static const uint8_t* part(const LookupRows& rows, int row, int half) {
    const int step = row / kStepRows + half;
    return rows.steps[step < rows.num_steps ? step : rows.num_steps - 1];
  }
  static Ints load(const uint8_t* const (&parts)[2], int64_t offset) {
#if defined(__AVX512BW__)
    const auto half = [&](int i) {
      return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(parts[i] + offset));
    };
    return _mm512_inserti64x4(_mm512_castsi256_si512(half(0)), half(1), 1);
#else
    return load_ints(parts[0] + offset);
#endif
  }
  template <Fetch kFetch>
  static void fetch_codes(const CodeVector& vector, int64_t offset) {
    for (int half = 0; half < kVectorLanes / 2; ++half) fetch<kFetch>(vector.parts[half] + offset);
  }
  template <int kVectors>
  static void add(const uint8_t* plane, const CodeVector (&vectors)[kVectors], int64_t offset,
                  ByteSums (&sums)[kVectors][2]) {
    const Ints table = load_lane(plane);
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      const Ints codes = load(vectors[v].parts, offset);
      sums[v][0].add(look_up_16(table, bits_and(codes, set_i8(15))));
      sums[v][1].add(look_up_16(table, bits_and(shift_right_u16<4>(codes), set_i8(15))));
    }
  }
  /// Word i has rows 4i (low nibble of the even byte), 4i + 1, 4i + 2 (low nibble of the odd byte), 4i + 3.
  static void finish(const float* sums, Floats shift, float* out) {
    for (int i = 0; i < kWords; i += kLanes) {
      const auto get = [&](int nibble, int odd) {
        return add_f32(load_floats(sums + (2 * nibble + odd) * kWords + i), shift);
      };
      float first[2 * kLanes], second[2 * kLanes];  // rows 4i, 4i + 2, …; rows 4i + 1, 4i + 3, …
      store_zipped(first, get(0, 0), get(0, 1));
      store_zipped(second, get(1, 0), get(1, 1));
      for (int half = 0; half < 2; ++half) {
        store_zipped(out + 4 * i + half * 2 * kLanes, load_floats(first + half * kLanes),
                     load_floats(second + half * kLanes));
      }
    }
  }
};

/// Blocks first … end − 1 of the order, one plane of their tables, added to `sums`. Meanwhile the codes of
/// later blocks are asked for, for the vectors whose number is `plane` modulo kPlanes.
template <typename Codes, Fetch kFetch, int kPlanes, int kVectors>
inline void add_blocks(const LookupTables& tables, int64_t first, int64_t end, int plane,
                       const CodeVector (&vectors)[kVectors], int64_t block_stride,
                       ByteSums (&sums)[kVectors][Codes::kSumsInVector]) {
  constexpr int64_t kTableBytes = Codes::kPlaneBytes * kPlanes;
  ByteSums local[kVectors][Codes::kSumsInVector];
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
#pragma GCC unroll 2
    for (int s = 0; s < Codes::kSumsInVector; ++s) local[v][s] = sums[v][s];
  }
  const uint8_t* entries = tables.entries + first * kTableBytes + plane * Codes::kPlaneBytes;
  [[maybe_unused]] const int64_t last = tables.num_kept - 1;
  for (int64_t i = first; i < end; ++i, entries += kTableBytes) {
    if constexpr (kFetch != Fetch::kNone) {
#pragma GCC unroll 4
      for (const int blocks : kBlocksAhead) {
        const int64_t ahead = tables.order[i + blocks < last ? i + blocks : last] * block_stride;
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; v += kPlanes)
          Codes::template fetch_codes<kFetch>(vectors[v + plane], ahead);
      }
    }
    Codes::add(entries, vectors, tables.order[i] * block_stride, local);
  }
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) {
#pragma GCC unroll 2
    for (int s = 0; s < Codes::kSumsInVector; ++s) sums[v][s] = local[v][s];
  }
}

/// to (kWords) += scale · (sum − center), sum = low + 256 · high.
template <int kPlanes>
inline void add_words(Ints low, Ints high, const LookupChunk& chunk, float* to) {
  Ints first = widen_u16(lower_half(low)), second = widen_u16(upper_half(low));
  if (kPlanes == 2) {
    first = add_i32(first, shift_left_i32<8>(widen_u16(lower_half(high))));
    second = add_i32(second, shift_left_i32<8>(widen_u16(upper_half(high))));
  }
  const Ints center = set_i32(chunk.center);
  const Floats scale = set_f32(chunk.scale);
  store_floats(to, add_f32(load_floats(to), mul_f32(scale, to_floats(sub_i32(first, center)))));
  store_floats(to + kLanes,
               add_f32(load_floats(to + kLanes), mul_f32(scale, to_floats(sub_i32(second, center)))));
}

template <typename Codes, int kPlanes, int kVectors>
inline void add_sums(const ByteSums (&entry_sums)[kPlanes][kVectors][Codes::kSumsInVector],
                     const LookupChunk& chunk, float* sums) {
  for (int v = 0; v < kVectors; ++v) {
    for (int s = 0; s < Codes::kSumsInVector; ++s) {
      const ByteSums &low = entry_sums[0][v][s], &high = entry_sums[kPlanes - 1][v][s];
      float* to = sums + (v * Codes::kSumsInVector + s) * 2 * kWords;
      add_words<kPlanes>(low.even(), high.even(), chunk, to);
      add_words<kPlanes>(low.odd, high.odd, chunk, to + kWords);
    }
  }
}

/// One chunk for kVectors vectors of codes. sums: kSumsInVector · 2 · kWords floats a vector. Two planes take
/// turns, a few blocks each, so that the sums of one stay in registers and its codes in the cache.
template <typename Codes, Fetch kFetch, int kPlanes, int kVectors>
void add_chunk(const LookupTables& tables, const LookupChunk& chunk, const CodeVector (&vectors)[kVectors],
               int64_t block_stride, float* sums) {
  ByteSums entry_sums[kPlanes][kVectors][Codes::kSumsInVector];
  const int64_t chunk_end = chunk.first + chunk.num_blocks;
  const int64_t turn = kPlanes == 1 ? chunk.num_blocks : kBlocksInTurn;
  for (int64_t first = chunk.first; first < chunk_end; first += turn) {
    const int64_t end = first + turn < chunk_end ? first + turn : chunk_end;
    for (int plane = 0; plane < kPlanes; ++plane) {
      add_blocks<Codes, kFetch, kPlanes>(tables, first, end, plane, vectors, block_stride, entry_sums[plane]);
    }
  }
  add_sums<Codes, kPlanes, kVectors>(entry_sums, chunk, sums);
}

/// The first codes of the vectors from row `first` on, which no stream has come to yet.
template <typename Codes, Fetch kFetch, int kVectors>
void fetch_heads(const LookupTables& tables, const LookupRows& rows, int first) {
  if (kFetch == Fetch::kNone) return;
  const int64_t count = tables.num_kept < kBlocksInTurn ? tables.num_kept : kBlocksInTurn;
  for (int row = first; row < first + kVectors * Codes::kRowsInVector; row += kStepRows) {
    if (row >= rows.num_steps * kStepRows) return;
    for (int64_t i = 0; i < count; ++i)
      fetch<kFetch>(rows.steps[row / kStepRows] + tables.order[i] * rows.block_stride);
  }
}

/// Rows `first` … in their order from the sums of kVectors vectors.
template <typename Codes, int kVectors>
inline void write_rows(const float* sums, int first, int num_rows, float offset, float* out) {
  const Floats shift = set_f32(offset);
  for (int v = 0; v < kVectors; ++v) {
    const int row = first + v * Codes::kRowsInVector;
    if (row + Codes::kRowsInVector <= num_rows) {
      Codes::finish(sums + v * Codes::kRowsInVector, shift, out + row);
    } else {
      float whole[Codes::kRowsInVector];
      Codes::finish(sums + v * Codes::kRowsInVector, shift, whole);
      for (int r = row; r < num_rows; ++r) out[r] = whole[r - row];
    }
  }
}

/// kVectors vectors of codes, from row `first` on.
template <typename Codes, Fetch kFetch, int kPlanes, int kVectors>
void add_vectors(const LookupTables& tables, const LookupRows& rows, int first, float offset, float* out) {
  CodeVector vectors[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    for (int half = 0; half < 2; ++half)
      vectors[v].parts[half] = Codes::part(rows, first + v * Codes::kRowsInVector, half);
  }
  alignas(64) float sums[kVectors * Codes::kRowsInVector] = {};
  for (int64_t c = 0; c < tables.num_chunks; ++c)
    add_chunk<Codes, kFetch, kPlanes>(tables, tables.chunks[c], vectors, rows.block_stride, sums);
  fetch_heads<Codes, kFetch, kVectors>(tables, rows, first + kVectors * Codes::kRowsInVector);
  write_rows<Codes, kVectors>(sums, first, rows.num_steps * kStepRows, offset, out);
}

/// The codes of all vectors taken at once are streams that go through memory side by side. Matrices of few
/// rows, and what is left of others, take half of the vectors.
template <typename Codes, int kPlanes, int kVectors>
void add_rows_of(const LookupTables& tables, const LookupRows& rows, float offset, float* out) {
  constexpr int kRowsAtOnce = kVectors * Codes::kRowsInVector;
  const int num_rows = rows.num_steps * kStepRows;
  const float shift = chunk_offset(tables, offset);
  const auto add = rows.read_again ? add_vectors<Codes, Fetch::kToKeep, kPlanes, kVectors>
                                   : add_vectors<Codes, Codes::kUsualFetch, kPlanes, kVectors>;
  constexpr int kFew = kVectors >= 4 ? kVectors / 2 : kVectors;
  for (int row = 0; row < num_rows; row += kRowsAtOnce) {
    if (kFew < kVectors && num_rows - row <= kFew * Codes::kRowsInVector) {
      add_vectors<Codes, Fetch::kNone, kPlanes, kFew>(tables, rows, row, shift, out);
    } else {
      add(tables, rows, row, shift, out);
    }
  }
}

/// `Table` looks 8-bit codes up, for kVectors vectors of them at once.
template <typename Table, int kVectors>
void add_rows(const LookupTables& tables, const LookupRows& rows, float offset, float* out) noexcept {
  const bool bytes = tables.width == EntryWidth::k8Bits;
  if (tables.num_entries == 16) {
    (bytes ? add_rows_of<NibbleCodes, 1, 2> : add_rows_of<NibbleCodes, 2, 2>)(tables, rows, offset, out);
  } else {
    (bytes ? add_rows_of<ByteCodes<Table>, 1, kVectors>
           : add_rows_of<ByteCodes<Table>, 2, kVectors>)(tables, rows, offset, out);
  }
}

}  // namespace
}  // namespace quantnoise::kernels
