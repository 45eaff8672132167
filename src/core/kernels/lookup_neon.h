#pragma once
// Rounding of the input and building of the tables with NEON: vectors of 128 bits, four products each.

#include <arm_neon.h>

#include "core/kernels/lookup_prefetch.h"
#include "core/kernels/lookup_spec.h"

namespace quantnoise::kernels {
namespace {

constexpr int kProducts = 4;

/// base[0], base[stride], …; lanes from `count` on are 0.
inline float32x4_t gather(const float* base, int stride, int64_t count) {
  float lanes[4] = {};
  for (int64_t i = 0; i < 4 && i < count; ++i) lanes[i] = base[i * stride];
  return vld1q_f32(lanes);
}

/// Four blocks from `block` on.
inline void quantize_blocks(const float* x, const LookupInput& input, int64_t block) {
  const int64_t count = input.num_blocks - block;
  float32x4_t values[2 * kMaxPairs + 1];
  float32x4_t norm = vdupq_n_f32(0);
  for (int j = 0; j < input.block_size; ++j) {
    values[j] =
        count > 0 ? gather(x + block * input.block_size + j, input.block_size, count) : vdupq_n_f32(0);
    norm = vaddq_f32(norm, vmulq_f32(values[j], values[j]));
  }
  values[input.block_size] = vdupq_n_f32(0);  // fills the last pair of an odd size
  const float32x4_t root = vsqrtq_f32(norm);
  const uint32x4_t inverse_bits = vreinterpretq_u32_f32(vdivq_f32(vdupq_n_f32(kIntegerNorm), root));
  const float32x4_t inverse = vreinterpretq_f32_u32(vandq_u32(inverse_bits, vcgtq_f32(norm, vdupq_n_f32(0))));
  vst1q_f32(input.norms + block, norm);
  vst1q_f32(input.factors + block, vdivq_f32(root, vdupq_n_f32(kIntegerNorm)));
  int32_t* to =
      input.pairs + (block / kBlocksInGroup) * input.num_pairs * kBlocksInGroup + block % kBlocksInGroup;
  for (int p = 0; p < input.num_pairs; ++p) {
    const int32x4_t low = vcvtnq_s32_f32(vmulq_f32(values[2 * p], inverse));
    const int32x4_t high = vcvtnq_s32_f32(vmulq_f32(values[2 * p + 1], inverse));
    vst1q_s32(to + p * kBlocksInGroup, vsliq_n_s32(low, high, 16));
  }
}

inline void quantize_input(const float* x, const LookupInput& input) noexcept {
  const int64_t num_padded = (input.num_blocks + kBlocksInGroup - 1) / kBlocksInGroup * kBlocksInGroup;
  for (int64_t block = 0; block < num_padded; block += kProducts) quantize_blocks(x, input, block);
}

/// Dot products of a block with four centroids.
struct BlockProducts {
  BlockProducts(const int32_t* block, int num_pairs) : num_pairs(num_pairs) {
    for (int p = 0; p < num_pairs; ++p) x[p] = vreinterpretq_s16_s32(vdupq_n_s32(block[p * kBlocksInGroup]));
  }
  int32x4_t with(const int32_t* centroids, int vector) const {
    int32x4_t first = vdupq_n_s32(0), second = vdupq_n_s32(0);
    for (int p = 0; p < num_pairs; ++p) {
      const int16x8_t of = vreinterpretq_s16_s32(vld1q_s32(centroids + (vector * num_pairs + p) * kProducts));
      first = vmlal_s16(first, vget_low_s16(x[p]), vget_low_s16(of));
      second = vmlal_high_s16(second, x[p], of);
    }
    return vpaddq_s32(first, second);
  }
  int num_pairs;
  int16x8_t x[kMaxPairs];
};

inline float largest_step(const EntryRange& ranges, float num_steps, float finest) {
  float step = 0;
  for (int i = 0; i < kMaxChunkBlocks; ++i) {
    const float needed = ranges.factor[i] * ranges.range[i] / num_steps, least = ranges.factor[i] * finest;
    step = needed > step ? needed : step;
    step = least > step ? least : step;
  }
  return step;
}

/// Upper halves of the products of eight entries. The codebook has even and odd entries in neighbouring
/// vectors when there are 256, and all in their order when there are 16.
inline int16x8_t upper_halves(const BlockProducts& products, const LookupCodebook& codebook, int vector) {
  const int16x8_t a = vreinterpretq_s16_s32(products.with(codebook.shared_pairs, vector));
  const int16x8_t b = vreinterpretq_s16_s32(products.with(codebook.shared_pairs, vector + 1));
  return codebook.num_entries == 16 ? vuzp2q_s16(a, b) : vtrn2q_s16(a, b);
}

/// Tables of 8 bits.
inline void build_bytes(const LookupCodebook& codebook, const LookupInput& input, const LookupTables& tables,
                        LookupChunk& chunk, Prefetcher& prefetcher) {
  alignas(64) int16_t upper[kMaxChunkBlocks][kMaxLookupEntries];
  EntryRange ranges = {};
  const int num_entries = codebook.num_entries;
  for (int i = 0; i < chunk.num_blocks; ++i) {
    const int64_t block = tables.order[chunk.first + i];
    const BlockProducts products(block_pairs(input, block), codebook.num_pairs);
    int16x8_t low = vdupq_n_s16(0x7fff), high = vdupq_n_s16(-0x8000);
    for (int k = 0; k < num_entries; k += 8) {
      const int16x8_t entries = upper_halves(products, codebook, k / kProducts);
      vst1q_s16(upper[i] + k, entries);
      low = vminq_s16(low, entries);
      high = vmaxq_s16(high, entries);
    }
    ranges.low[i] = static_cast<float>(vminvq_s16(low));
    ranges.range[i] = static_cast<float>(int32_t{vmaxvq_s16(high)} - vminvq_s16(low));
    ranges.factor[i] = input.factors[block];
    prefetcher.advance();
  }
  const float step = largest_step(ranges, 255.0f, kFinestStep);
  for (int i = 0; i < chunk.num_blocks; ++i) {
    const auto multiplier = static_cast<uint32_t>(ranges.factor[i] * (65536.0f / step) + 0.5f);
    const auto offset = static_cast<int32_t>(32768.0f / static_cast<float>(multiplier > 0 ? multiplier : 1));
    const uint16x8_t shift = vdupq_n_u16(static_cast<uint16_t>(static_cast<int32_t>(ranges.low[i]) - offset));
    const uint16x4_t factor = vdup_n_u16(static_cast<uint16_t>(multiplier));
    uint8_t* to = tables.entries + (chunk.first + i) * int64_t{num_entries};
    for (int k = 0; k < num_entries; k += 8) {
      const uint16x8_t above = vsubq_u16(vreinterpretq_u16_s16(vld1q_s16(upper[i] + k)), shift);
      const uint32x4_t first = vmull_u16(vget_low_u16(above), factor);
      const uint32x4_t second = vmull_u16(vget_high_u16(above), factor);
      const uint16x8_t words = vuzp2q_u16(vreinterpretq_u16_u32(first), vreinterpretq_u16_u32(second));
      vst1_u8(to + k, vmovn_u16(words));
    }
  }
  finish_chunk(sum_of_lows(ranges, kCutOff), step, codebook.shared_factor * kUpperHalf, chunk);
}

/// Products with the centroids' own factors.
inline float32x4_t scaled(const BlockProducts& products, const LookupCodebook& codebook, int vector) {
  return vmulq_f32(vcvtq_f32_s32(products.with(codebook.own_pairs, vector)),
                   vld1q_f32(codebook.own_factors + vector * kProducts));
}

/// Tables of 16 bits: a plane of low bytes, then one of high bytes.
inline void build_words(const LookupCodebook& codebook, const LookupInput& input, const LookupTables& tables,
                        LookupChunk& chunk, Prefetcher& prefetcher) {
  EntryRange ranges = {};
  const int num_entries = codebook.num_entries;
  for (int i = 0; i < chunk.num_blocks; ++i) {
    const int64_t block = tables.order[chunk.first + i];
    const BlockProducts products(block_pairs(input, block), codebook.num_pairs);
    float32x4_t low = vdupq_n_f32(__builtin_inff()), high = vdupq_n_f32(-__builtin_inff());
    for (int v = 0; v < num_entries / kProducts; ++v) {
      const float32x4_t value = scaled(products, codebook, v);
      low = vminq_f32(low, value);
      high = vmaxq_f32(high, value);
    }
    ranges.low[i] = vminvq_f32(low);
    ranges.range[i] = vmaxvq_f32(high) - ranges.low[i];
    ranges.factor[i] = input.factors[block];
    prefetcher.advance();
  }
  const double lows = sum_of_lows(ranges, 0.0);
  const float needed = largest_step(ranges, 65535.0f, 0.0f), least = least_step(lows);
  const float step = needed > least ? needed : least;
  for (int i = 0; i < chunk.num_blocks; ++i) {
    const int64_t block = tables.order[chunk.first + i];
    const BlockProducts products(block_pairs(input, block), codebook.num_pairs);
    const float32x4_t low = vdupq_n_f32(ranges.low[i]);
    const float32x4_t multiplier = vdupq_n_f32(step > 0 ? ranges.factor[i] / step : 0.0f);
    const auto words = [&](int vector) {
      const float32x4_t above = vsubq_f32(scaled(products, codebook, vector), low);
      return vmovn_u32(vreinterpretq_u32_s32(vcvtnq_s32_f32(vmulq_f32(above, multiplier))));
    };
    uint8_t* to = tables.entries + (chunk.first + i) * 2 * int64_t{num_entries};
    for (int k = 0; k < num_entries; k += 8) {
      const uint16x8_t eight = vcombine_u16(words(k / kProducts), words(k / kProducts + 1));
      vst1_u8(to + k, vmovn_u16(eight));
      vst1_u8(to + num_entries + k, vshrn_n_u16(eight, 8));
    }
  }
  finish_chunk(lows, step, 1.0f, chunk);
}

inline void build_chunk(const LookupCodebook& codebook, const LookupInput& input, const LookupTables& tables,
                        LookupChunk& chunk, BytesAhead ahead) noexcept {
  Prefetcher prefetcher(ahead, chunk.num_blocks);
  if (tables.width == EntryWidth::k8Bits) {
    build_bytes(codebook, input, tables, chunk, prefetcher);
  } else {
    build_words(codebook, input, tables, chunk, prefetcher);
  }
}

}  // namespace
}  // namespace quantnoise::kernels
