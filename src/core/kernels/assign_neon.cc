#include "core/kernels/kernel_functions.h"

#if QN_KERNELS_NEON

#include "core/kernels/assign_simd.h"

namespace quantnoise::kernels::neon {

void assign(const ScoreArgs& args, uint16_t* codes, float* scores) noexcept {
  if (args.block_size > kMaxTileSize) return portable::assign(args, codes, scores);
  assign_tiles(args, codes, scores);
}

void nearest_two(const ScoreArgs& args, const NearestTwo& out) noexcept {
  if (args.block_size > kMaxTileSize) return portable::nearest_two(args, out);
  nearest_two_tiles(args, out);
}

void nearest_by_group(const ScoreArgs* groups, int num_groups, const NearestByGroup& out) noexcept {
  if (groups[0].block_size > kMaxTileSize) return portable::nearest_by_group(groups, num_groups, out);
  nearest_by_group_tiles(groups, num_groups, out);
}

void own_distance(const ScoreArgs& args, const uint16_t* codes, const OwnDistance& out) noexcept {
  if (args.block_size > kMaxTileSize) return portable::own_distance(args, codes, out);
  own_distance_tiles(args, codes, out);
}

void own_limit(const ScoreArgs& args, const uint16_t* codes, const OwnLimit& out) noexcept {
  if (args.block_size > kMaxTileSize) return portable::own_limit(args, codes, out);
  own_limit_tiles(args, codes, out);
}

int64_t select_not_above(const uint16_t* bounds, float offset, const float* limits, int64_t count,
                         uint16_t* picks) noexcept {
  static constexpr uint32_t kLaneBits[kLanes] = {1, 2, 4, 8};
  const Mask lane_bits = vld1q_u32(kLaneBits);
  const Floats shift = broadcast(offset);
  int64_t found = 0, i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const Floats bound = vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(bounds + i), 16));
    const Mask chosen = vcleq_f32(sub(bound, shift), load(limits + i));
    for (uint32_t bits = vaddvq_u32(both(chosen, lane_bits)); bits != 0; bits &= bits - 1)
      picks[found++] = static_cast<uint16_t>(i + __builtin_ctz(bits));
  }
  const int64_t rest = portable::select_not_above(bounds + i, offset, limits + i, count - i, picks + found);
  for (const int64_t end = found + rest; found < end; ++found)
    picks[found] = static_cast<uint16_t>(picks[found] + i);
  return found;
}

}  // namespace quantnoise::kernels::neon

#endif
