#include <bit>
#include <cmath>
#include <limits>

#include "core/kernels/kernel_functions.h"

namespace quantnoise::kernels::portable {

namespace {

const float* picked_block(const ScoreArgs& args, int64_t position) {
  const int64_t number = args.picks == nullptr ? position : args.picks[position];
  return args.blocks + number * args.block_size;
}

float score(const ScoreArgs& args, const float* block, int64_t centroid) {
  const float* values = args.centroids + centroid * args.block_size;
  float sum = args.half_norms[centroid];
  for (int j = 0; j < args.block_size; ++j) sum -= block[j] * values[j];
  return sum;
}

float squared_norm(const float* block, int block_size) {
  float sum = 0;
  for (int j = 0; j < block_size; ++j) sum += block[j] * block[j];
  return sum;
}

uint16_t number_of(const ScoreArgs& args, int centroid) {
  return args.numbers == nullptr ? static_cast<uint16_t>(centroid) : args.numbers[centroid];
}

// The bf16 below a bound plus its offset; 8 units in the last place cover the rounding of the sum.
uint16_t stored_bound(float squared_distance, float offset) {
  const float bound = std::sqrt(squared_distance > 0 ? squared_distance : 0);
  return static_cast<uint16_t>(std::bit_cast<uint32_t>((bound + offset) * (1.0f - 0x1p-21f)) >> 16);
}

struct Nearest {
  float best = std::numeric_limits<float>::infinity();
  float second = std::numeric_limits<float>::infinity();
  uint16_t code = 0;
};

Nearest find_nearest(const ScoreArgs& args, const float* block) {
  Nearest nearest;
  for (int c = 0; c < args.num_centroids; ++c) {
    const float s = score(args, block, c);
    if (s < nearest.best) {
      nearest.second = nearest.best;
      nearest.best = s;
      nearest.code = number_of(args, c);
    } else if (s < nearest.second) {
      nearest.second = s;
    }
  }
  return nearest;
}

}  // namespace

void assign(const ScoreArgs& args, uint16_t* codes, float* scores) noexcept {
  for (int64_t i = 0; i < args.num_blocks; ++i) {
    const Nearest nearest = find_nearest(args, picked_block(args, i));
    codes[i] = nearest.code;
    if (scores != nullptr) scores[i] = nearest.best;
  }
}

void nearest_two(const ScoreArgs& args, const NearestTwo& out) noexcept {
  for (int64_t i = 0; i < args.num_blocks; ++i) {
    const float* block = picked_block(args, i);
    const Nearest nearest = find_nearest(args, block);
    const float norm = squared_norm(block, args.block_size);
    const float base = norm - (out.margin_constant + out.margin_slope * norm);
    out.codes[i] = nearest.code;
    out.scores[i] = nearest.best;
    out.best_bounds[i] = stored_bound(base + 2 * nearest.best, out.offset);
    out.second_bounds[i] = stored_bound(base + 2 * nearest.second, out.offset);
  }
}

void nearest_by_group(const ScoreArgs* groups, int num_groups, const NearestByGroup& out) noexcept {
  for (int64_t i = 0; i < groups[0].num_blocks; ++i) {
    const float* block = picked_block(groups[0], i);
    const float norm = squared_norm(block, groups[0].block_size);
    const float base = norm - (out.margin_constant + out.margin_slope * norm);
    Nearest nearest;
    int nearest_group = 0;
    for (int g = 0; g < num_groups; ++g) {
      const Nearest found = find_nearest(groups[g], block);
      out.bounds[g * out.bounds_stride + i] = stored_bound(base + 2 * found.best, out.offsets[g]);
      if (found.best < nearest.best || (found.best == nearest.best && found.code < nearest.code)) {
        nearest = found;
        nearest_group = g;
      }
    }
    out.codes[i] = nearest.code;
    out.bounds[nearest_group * out.bounds_stride + i] =
        stored_bound(base + 2 * nearest.second, out.offsets[nearest_group]);
  }
}

void own_distance(const ScoreArgs& args, const uint16_t* codes, const OwnDistance& out) noexcept {
  for (int64_t i = 0; i < args.num_blocks; ++i) {
    const float* block = picked_block(args, i);
    const float norm = squared_norm(block, args.block_size);
    out.scores[i] = score(args, block, codes[i]);
    out.squared_norms[i] = norm;
    const float squared = norm + (out.margin_constant + out.margin_slope * norm) + 2 * out.scores[i];
    out.upper_bounds[i] = std::sqrt(squared > 0 ? squared : 0);
  }
}

void own_limit(const ScoreArgs& args, const uint16_t* codes, const OwnLimit& out) noexcept {
  for (int64_t i = 0; i < args.num_blocks; ++i) {
    const float* block = picked_block(args, i);
    const float* centroid = args.centroids + int64_t{codes[i]} * args.block_size;
    float sum = 0;
    for (int j = 0; j < args.block_size; ++j) {
      const float difference = block[j] - centroid[j];
      sum += difference * difference;
    }
    out.limits[i] = std::sqrt(out.scale * sum + out.constant);
  }
}

int64_t select_not_above(const uint16_t* bounds, float offset, const float* limits, int64_t count,
                         uint16_t* picks) noexcept {
  int64_t found = 0;
  for (int64_t i = 0; i < count; ++i) {
    picks[found] = static_cast<uint16_t>(i);
    found += std::bit_cast<float>(uint32_t{bounds[i]} << 16) - offset <= limits[i];
  }
  return found;
}

}  // namespace quantnoise::kernels::portable
