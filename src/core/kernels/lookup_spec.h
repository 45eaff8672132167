#pragma once
// What all sets have to agree on to the bit. The files of the sets include this: no library templates, and
// nothing with external linkage.

#include "quantnoise/kernels/lookup.h"

namespace quantnoise::kernels {
namespace {

/// Blocks and centroids become integers of this norm, so that a dot product of 16 elements stays below 2^31.
constexpr float kIntegerNorm = 32700;

/// Entries of 8 bits are made from the upper halves of the dot products.
constexpr float kUpperHalf = 65536;

/// What stage 1 of a chunk found out about its blocks: the smallest entry and the range above it, in units of
/// the upper halves (8 bits) or of the products with the centroids' factors (16 bits). Blocks that fill the
/// chunk up to kMaxChunkBlocks have zeros.
struct EntryRange {
  alignas(64) float low[kMaxChunkBlocks];
  alignas(64) float range[kMaxChunkBlocks];
  alignas(64) float factor[kMaxChunkBlocks];  ///< of the inputs, see LookupInput
  int num_slots = kMaxChunkBlocks;            ///< a multiple of 16 from which on there are only zeros
};

/// Σ factor · (low + shift), in four sums; double so that the large minima cancel exactly enough.
inline double sum_of_lows(const EntryRange& ranges, double shift) {
  double sums[4] = {};
  for (int i = 0; i < ranges.num_slots; ++i)
    sums[i % 4] += double{ranges.factor[i]} * (double{ranges.low[i]} + shift);
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

/// Scale, center and rest of a chunk whose entries are steps of `step` above the minima, for products in
/// units of `unit`.
inline void finish_chunk(double lows, float step, float unit, LookupChunk& chunk) {
  chunk.scale = step * unit;
  chunk.center = 0;
  if (step > 0) {
    const double center = -lows / step;
    chunk.center = static_cast<int32_t>(center < 0 ? center - 0.5 : center + 0.5);
  }
  chunk.rest = static_cast<float>((lows + double{step} * chunk.center) * unit);
}

// Entries of 8 bits: q = ((upper half − lowest + offset) · multiplier) >> 16, where
//   step = the largest of factor · range / 255 and of factor · kFinestStep
//   multiplier = factor · (65536 / step) + 0.5, cut off
//   offset = 32768 / max(multiplier, 1), cut off: half a step, since the shift rounds down.
constexpr float kFinestStep = 1.0001f;  // keeps the multiplier below 2^16
// The upper halves were cut off downwards: on average half a unit too small.
constexpr double kCutOff = 0.5;

// Entries of 16 bits: q = (product − lowest) · multiplier, rounded to the nearest even, where
//   step = the largest of factor · range / 65535 and of least_step(Σ factor · lowest)
//   multiplier = factor / step, 0 where step is.

/// Centroids that hardly differ have minima far above their range; the center has to stay an exact float.
inline float least_step(double lows) { return static_cast<float>((lows < 0 ? -lows : lows) / 4194304.0); }

inline const int32_t* block_pairs(const LookupInput& input, int64_t block) {
  const auto number = static_cast<uint64_t>(block);  // unsigned: divided by a shift
  return input.pairs + (number / kBlocksInGroup) * static_cast<uint64_t>(input.num_pairs * kBlocksInGroup) +
         number % kBlocksInGroup;
}

/// select_blocks() without vectors.
inline int64_t select_blocks_by_one(const float* norms, int64_t num_blocks, float least, float most,
                                    int32_t* numbers) noexcept {
  int64_t count = 0;
  for (int64_t b = 0; b < num_blocks; ++b) {
    if (norms[b] > least && norms[b] <= most) numbers[count++] = static_cast<int32_t>(b);
  }
  return count;
}

inline float chunk_offset(const LookupTables& tables, float offset) {
  for (int64_t c = 0; c < tables.num_chunks; ++c) offset += tables.chunks[c].rest;
  return offset;
}

}  // namespace
}  // namespace quantnoise::kernels
