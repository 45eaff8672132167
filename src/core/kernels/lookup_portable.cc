// The specification of the look-up kernels: one number at a time.

#include <math.h>

#include "core/kernels/lookup_spec.h"

namespace quantnoise::kernels {
namespace {

/// Rounds to the nearest even integer, for magnitudes below 2^22: the sum's low mantissa bits are the
/// integer.
inline int32_t round_even(float value) {
  const float shifted = value + 12582912.0f;  // 1.5 · 2^23
  int32_t bits;
  __builtin_memcpy(&bits, &shifted, sizeof(bits));
  return bits - 0x4b400000;
}

inline int32_t low_half(int32_t pair) { return static_cast<int16_t>(pair & 0xffff); }
inline int32_t high_half(int32_t pair) { return pair >> 16; }

void quantize_input(const float* x, const LookupInput& input) noexcept {
  const int64_t num_padded = (input.num_blocks + kBlocksInGroup - 1) / kBlocksInGroup * kBlocksInGroup;
  for (int64_t b = 0; b < num_padded; ++b) {
    float block[2 * kMaxPairs] = {};
    float norm = 0;
    for (int j = 0; j < input.block_size && b < input.num_blocks; ++j) {
      block[j] = x[b * input.block_size + j];
      norm = norm + block[j] * block[j];
    }
    const float root = sqrtf(norm);
    const float inverse = norm > 0 ? kIntegerNorm / root : 0.0f;
    input.norms[b] = norm;
    input.factors[b] = root / kIntegerNorm;
    int32_t* to = input.pairs + (b / kBlocksInGroup) * input.num_pairs * kBlocksInGroup + b % kBlocksInGroup;
    for (int p = 0; p < input.num_pairs; ++p) {
      const auto low = static_cast<uint32_t>(round_even(block[2 * p] * inverse)) & 0xffffu;
      const auto high = static_cast<uint32_t>(round_even(block[2 * p + 1] * inverse)) << 16;
      to[p * kBlocksInGroup] = static_cast<int32_t>(low | high);
    }
  }
}

/// Dot product of a block with the centroid at `entry`.
int32_t dot(const int32_t* block, const int32_t* centroid, int num_pairs) {
  int32_t sum = 0;
  for (int p = 0; p < num_pairs; ++p) {
    const int32_t x = block[p * kBlocksInGroup];
    sum += low_half(x) * low_half(centroid[p]) + high_half(x) * high_half(centroid[p]);
  }
  return sum;
}

void find_range(const float* values, int num_entries, int i, EntryRange& ranges) {
  float low = values[0], high = values[0];
  for (int k = 1; k < num_entries; ++k) {
    low = values[k] < low ? values[k] : low;
    high = values[k] > high ? values[k] : high;
  }
  ranges.low[i] = low;
  ranges.range[i] = high - low;
}

float largest_step(const EntryRange& ranges, float num_steps) {
  float step = 0;
  for (int i = 0; i < kMaxChunkBlocks; ++i) {
    const float needed = ranges.factor[i] * ranges.range[i] / num_steps;
    step = needed > step ? needed : step;
  }
  return step;
}

void build_bytes(const LookupCodebook& codebook, const LookupInput& input, const LookupTables& tables,
                 LookupChunk& chunk) {
  float upper[kMaxChunkBlocks][kMaxLookupEntries];
  EntryRange ranges = {};
  float step = 0;
  for (int i = 0; i < chunk.num_blocks; ++i) {
    const int64_t block = tables.order[chunk.first + i];
    for (int k = 0; k < codebook.num_entries; ++k) {
      const int32_t* centroid = codebook.shared_pairs + k * codebook.num_pairs;
      upper[i][k] = static_cast<float>(dot(block_pairs(input, block), centroid, codebook.num_pairs) >> 16);
    }
    find_range(upper[i], codebook.num_entries, i, ranges);
    ranges.factor[i] = input.factors[block];
    const float finest = ranges.factor[i] * kFinestStep;
    step = finest > step ? finest : step;
  }
  const float needed = largest_step(ranges, 255.0f);
  step = needed > step ? needed : step;
  const int64_t bytes = table_bytes(tables.num_entries, EntryWidth::k8Bits);
  for (int i = 0; i < chunk.num_blocks; ++i) {
    const auto multiplier = static_cast<uint32_t>(ranges.factor[i] * (65536.0f / step) + 0.5f);
    const auto offset = static_cast<uint32_t>(32768.0f / static_cast<float>(multiplier > 0 ? multiplier : 1));
    uint8_t* to = tables.entries + (chunk.first + i) * bytes;
    for (int k = 0; k < codebook.num_entries; ++k) {
      const auto above = static_cast<uint32_t>(upper[i][k] - ranges.low[i]);
      to[k] = static_cast<uint8_t>((above + offset) * multiplier >> 16);
    }
  }
  finish_chunk(sum_of_lows(ranges, kCutOff), step, codebook.shared_factor * kUpperHalf, chunk);
}

void build_words(const LookupCodebook& codebook, const LookupInput& input, const LookupTables& tables,
                 LookupChunk& chunk) {
  float products[kMaxChunkBlocks][kMaxLookupEntries];
  EntryRange ranges = {};
  for (int i = 0; i < chunk.num_blocks; ++i) {
    const int64_t block = tables.order[chunk.first + i];
    for (int k = 0; k < codebook.num_entries; ++k) {
      const int32_t* centroid = codebook.own_pairs + k * codebook.num_pairs;
      products[i][k] = static_cast<float>(dot(block_pairs(input, block), centroid, codebook.num_pairs)) *
                       codebook.own_factors[k];
    }
    find_range(products[i], codebook.num_entries, i, ranges);
    ranges.factor[i] = input.factors[block];
  }
  const double lows = sum_of_lows(ranges, 0.0);
  const float needed = largest_step(ranges, 65535.0f), least = least_step(lows);
  const float step = needed > least ? needed : least;
  const int64_t bytes = table_bytes(tables.num_entries, EntryWidth::k16Bits);
  for (int i = 0; i < chunk.num_blocks; ++i) {
    const float multiplier = step > 0 ? ranges.factor[i] / step : 0.0f;
    uint8_t* to = tables.entries + (chunk.first + i) * bytes;
    for (int k = 0; k < codebook.num_entries; ++k) {
      const auto value = static_cast<uint16_t>(round_even((products[i][k] - ranges.low[i]) * multiplier));
      __builtin_memcpy(to + 2 * k, &value, 2);
    }
  }
  finish_chunk(lows, step, 1.0f, chunk);
}

void build_chunk(const LookupCodebook& codebook, const LookupInput& input, const LookupTables& tables,
                 LookupChunk& chunk, BytesAhead) noexcept {
  if (tables.width == EntryWidth::k8Bits) {
    build_bytes(codebook, input, tables, chunk);
  } else {
    build_words(codebook, input, tables, chunk);
  }
}

template <typename Value, int kEntries>
void add_chunk(const LookupTables& tables, const LookupChunk& chunk, const uint8_t* codes,
               int64_t block_stride, float* sums) {
  const int64_t bytes = table_bytes(kEntries, tables.width);
  int32_t total[kStepRows] = {};
  for (int64_t i = chunk.first; i < chunk.first + chunk.num_blocks; ++i) {
    Value table[kEntries];
    __builtin_memcpy(table, tables.entries + i * bytes, sizeof(table));
    const uint8_t* block = codes + tables.order[i] * block_stride;
    for (int r = 0; r < kStepRows; ++r)
      total[r] += table[kEntries == 16 ? block[r / 2] >> (r % 2 * 4) & 15 : block[r]];
  }
  for (int r = 0; r < kStepRows; ++r)
    sums[r] = sums[r] + chunk.scale * static_cast<float>(total[r] - chunk.center);
}

template <typename Value, int kEntries>
void add_rows_of(const LookupTables& tables, const LookupRows& rows, float offset, float* out) {
  const float shift = chunk_offset(tables, offset);
  for (int s = 0; s < rows.num_steps; ++s) {
    float sums[kStepRows] = {};
    for (int64_t c = 0; c < tables.num_chunks; ++c)
      add_chunk<Value, kEntries>(tables, tables.chunks[c], rows.steps[s], rows.block_stride, sums);
    for (int r = 0; r < kStepRows; ++r) out[s * kStepRows + r] = sums[r] + shift;
  }
}

void add_rows(const LookupTables& tables, const LookupRows& rows, float offset, float* out) noexcept {
  const bool bytes = tables.width == EntryWidth::k8Bits;
  const auto add = tables.num_entries == 16
                       ? (bytes ? add_rows_of<uint8_t, 16> : add_rows_of<uint16_t, 16>)
                       : (bytes ? add_rows_of<uint8_t, 256> : add_rows_of<uint16_t, 256>);
  add(tables, rows, offset, out);
}

}  // namespace

const LookupKernels kLookupPortable = {"portable",           0,           quantize_input,
                                       select_blocks_by_one, build_chunk, add_rows};

}  // namespace quantnoise::kernels
