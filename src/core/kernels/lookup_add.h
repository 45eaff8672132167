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

/// Sums of one or two planes of bytes: low and high bytes of the entries.
template <int kPlanes>
struct EntrySums {
  ByteSums planes[kPlanes];

  /// to (kWords of even, then kWords of odd bytes' sums) += scale · (sum − center).
  void add_to(const LookupChunk& chunk, float* to) const {
    Ints even[kPlanes], odd[kPlanes];
    for (int p = 0; p < kPlanes; ++p) {
      even[p] = planes[p].even();
      odd[p] = planes[p].odd;
    }
    add_words(even, chunk, to);
    add_words(odd, chunk, to + kWords);
  }

  static void add_words(const Ints (&words)[kPlanes], const LookupChunk& chunk, float* to) {
    Ints lower = widen_u16(lower_half(words[0])), upper = widen_u16(upper_half(words[0]));
    if (kPlanes == 2) {
      lower = add_i32(lower, shift_left_i32<8>(widen_u16(lower_half(words[kPlanes - 1]))));
      upper = add_i32(upper, shift_left_i32<8>(widen_u16(upper_half(words[kPlanes - 1]))));
    }
    const Ints center = set_i32(chunk.center);
    const Floats scale = set_f32(chunk.scale);
    const Floats first = mul_f32(scale, to_floats(sub_i32(lower, center)));
    const Floats second = mul_f32(scale, to_floats(sub_i32(upper, center)));
    store_floats(to, add_f32(load_floats(to), first));
    store_floats(to + kLanes, add_f32(load_floats(to + kLanes), second));
  }
};

/// Codes are asked for this many bytes ahead of their use. Streams are short (a step of 64 rows) and the
/// processor's own prefetching starts late on every page.
constexpr int64_t kBytesAhead = 1024;

inline void fetch(const uint8_t* at) { _mm_prefetch(reinterpret_cast<const char*>(at), _MM_HINT_T1); }

/// Where a vector of codes comes from for block 0; with 16 entries and 512 bits 32 bytes of each of two
/// steps.
struct CodeVector {
  const uint8_t* parts[2];
};

/// 256 entries, 8-bit codes: as many rows as bytes. `Table` looks codes up in the planes of one block.
template <typename Table, int kTablePlanes>
struct ByteCodes {
  static constexpr int kPlanes = kTablePlanes;
  static constexpr int kRowsInVector = kVectorBytes;
  static constexpr int kSumsInVector = 1;

  static const uint8_t* part(const LookupRows& rows, int row, int) {
    return step_of(rows, row / kStepRows) + row % kStepRows;
  }
  static const uint8_t* step_of(const LookupRows& rows, int step) {
    return rows.steps[step < rows.num_steps ? step : rows.num_steps - 1];
  }
  template <int kVectors>
  static void add(const uint8_t* table_bytes, const CodeVector (&vectors)[kVectors], int64_t offset,
                  EntrySums<kPlanes> (&sums)[kVectors][1]) {
    const Table table(table_bytes);
    for (int v = 0; v < kVectors; ++v) {
      fetch(vectors[v].parts[0] + offset + kBytesAhead);
      table.add(load_ints(vectors[v].parts[0] + offset), sums[v][0]);
    }
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
template <int kTablePlanes>
struct NibbleCodes {
  static constexpr int kPlanes = kTablePlanes;
  static constexpr int kRowsInVector = 2 * kVectorBytes;
  static constexpr int kSumsInVector = 2;

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
  template <int kVectors>
  static void add(const uint8_t* table_bytes, const CodeVector (&vectors)[kVectors], int64_t offset,
                  EntrySums<kPlanes> (&sums)[kVectors][2]) {
    Ints tables[kPlanes];
    for (int p = 0; p < kPlanes; ++p) tables[p] = load_lane(table_bytes + 16 * p);
    for (int v = 0; v < kVectors; ++v) {
      for (int half = 0; half < kVectorLanes / 2; ++half)
        fetch(vectors[v].parts[half] + offset + kBytesAhead);
      const Ints codes = load(vectors[v].parts, offset);
      const Ints low = bits_and(codes, set_i8(15));
      const Ints high = bits_and(shift_right_u16<4>(codes), set_i8(15));
      for (int p = 0; p < kPlanes; ++p) {
        sums[v][0].planes[p].add(look_up_16(tables[p], low));
        sums[v][1].planes[p].add(look_up_16(tables[p], high));
      }
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

/// One chunk for kVectors vectors of codes. sums: kSumsInVector · 2 · kWords floats a vector.
template <typename Codes, int kVectors>
void add_chunk(const LookupTables& tables, const LookupChunk& chunk, const CodeVector (&vectors)[kVectors],
               int64_t block_stride, float* sums) {
  constexpr int64_t kTableBytes = (Codes::kSumsInVector == 1 ? 256 : 16) * Codes::kPlanes;
  EntrySums<Codes::kPlanes> entry_sums[kVectors][Codes::kSumsInVector];
  const int32_t* order = tables.order + chunk.first;
  const uint8_t* table = tables.entries + chunk.first * kTableBytes;
  for (int32_t i = 0; i < chunk.num_blocks; ++i) {
    Codes::add(table + i * kTableBytes, vectors, order[i] * block_stride, entry_sums);
  }
  for (int v = 0; v < kVectors; ++v) {
    for (int s = 0; s < Codes::kSumsInVector; ++s)
      entry_sums[v][s].add_to(chunk, sums + (v * Codes::kSumsInVector + s) * 2 * kWords);
  }
}

/// The first codes of the vectors from row `first` on, which no stream has come to yet.
template <typename Codes, int kVectors>
void fetch_heads(const LookupRows& rows, int first) {
  for (int row = first; row < first + kVectors * Codes::kRowsInVector; row += kStepRows) {
    if (row >= rows.num_steps * kStepRows) return;
    for (int64_t at = 0; at < kBytesAhead; at += 64) fetch(rows.steps[row / kStepRows] + at);
  }
}

/// kVectors vectors of codes, from row `first` on.
template <typename Codes, int kVectors>
void add_vectors(const LookupTables& tables, const LookupRows& rows, int first, float offset, float* out) {
  CodeVector vectors[kVectors];
  for (int v = 0; v < kVectors; ++v) {
    for (int half = 0; half < 2; ++half)
      vectors[v].parts[half] = Codes::part(rows, first + v * Codes::kRowsInVector, half);
  }
  alignas(64) float sums[kVectors * Codes::kRowsInVector] = {};
  for (int64_t c = 0; c < tables.num_chunks; ++c)
    add_chunk<Codes, kVectors>(tables, tables.chunks[c], vectors, rows.block_stride, sums);
  fetch_heads<Codes, kVectors>(rows, first + kVectors * Codes::kRowsInVector);
  const Floats shift = set_f32(offset);
  const int num_rows = rows.num_steps * kStepRows;
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

/// The codes of all vectors taken at once are streams that go through memory side by side.
template <typename Codes, int kVectors>
void add_rows_of(const LookupTables& tables, const LookupRows& rows, float offset, float* out) {
  constexpr int kRowsAtOnce = kVectors * Codes::kRowsInVector;
  const int num_rows = rows.num_steps * kStepRows;
  const float shift = chunk_offset(tables, offset);
  for (int row = 0; row < num_rows; row += kRowsAtOnce)
    add_vectors<Codes, kVectors>(tables, rows, row, shift, out);
}

/// `Table<planes>` looks 8-bit codes up, for kVectors vectors of them at once.
template <template <int> class Table, int kVectors>
void add_rows(const LookupTables& tables, const LookupRows& rows, float offset, float* out) noexcept {
  const bool bytes = tables.width == EntryWidth::k8Bits;
  if (tables.num_entries == 16) {
    (bytes ? add_rows_of<NibbleCodes<1>, 2> : add_rows_of<NibbleCodes<2>, 2>)(tables, rows, offset, out);
  } else {
    (bytes ? add_rows_of<ByteCodes<Table<1>, 1>, kVectors>
           : add_rows_of<ByteCodes<Table<2>, 2>, kVectors>)(tables, rows, offset, out);
  }
}

}  // namespace
}  // namespace quantnoise::kernels
