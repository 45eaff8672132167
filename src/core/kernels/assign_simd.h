#pragma once
// The assignment loops over the vector names of simd_avx2.h, simd_avx512.h or simd_neon.h.
//
// A tile of 2·kLanes blocks is turned so that a vector holds one element of kLanes blocks; four centroids are
// scored at a time, which makes eight independent chains of multiply-adds and reads every element of the tile
// once for four uses.

#include "core/kernels/kernel_functions.h"

#if defined(__aarch64__)
#include "core/kernels/simd_neon.h"
#elif defined(__AVX512F__)
#include "core/kernels/simd_avx512.h"
#else
#include "core/kernels/simd_avx2.h"
#endif

namespace quantnoise::kernels {
namespace {

constexpr int kTileBlocks = 2 * kLanes;
constexpr int kMaxTileSize = 64;  ///< longer blocks are scored in the plain loop

struct alignas(64) Tile {
  float elements[kMaxTileSize][kTileBlocks];
};

// Turns rows 0 … kTileBlocks − 1 of `rows` (kPicked: rows picks[0], picks[1], …) into the tile.
template <bool kPicked>
inline void turn_rows(const float* rows, const uint16_t* picks, int block_size, Tile& tile) {
  const auto row = [&](int i) { return rows + (kPicked ? int64_t{picks[i]} : int64_t{i}) * block_size; };
  for (int i = 0; i < kTileBlocks; i += kLanes) {
    int j = 0;
    for (; j + 8 <= block_size; j += 8) {
      turn_8_columns([&](int lane) { return row(i + lane) + j; }, &tile.elements[j][i], kTileBlocks);
    }
    if (j + 4 <= block_size) {
      turn_4_columns([&](int lane) { return row(i + lane) + j; }, &tile.elements[j][i], kTileBlocks);
      j += 4;
    }
    for (; j < block_size; ++j) {
      for (int lane = 0; lane < kLanes; ++lane) tile.elements[j][i + lane] = row(i + lane)[j];
    }
  }
}

// The same for `count` rows, picked when picks is not null; a short tile is filled up with its last row.
inline void load_tile(const float* rows, const uint16_t* picks, int64_t count, int block_size, Tile& tile) {
  if (count == kTileBlocks) {
    if (picks == nullptr) return turn_rows<false>(rows, picks, block_size, tile);
    return turn_rows<true>(rows, picks, block_size, tile);
  }
  uint16_t filled[kTileBlocks];
  for (int i = 0; i < kTileBlocks; ++i) {
    const int64_t position = i < count ? i : count - 1;
    filled[i] = picks == nullptr ? static_cast<uint16_t>(position) : picks[position];
  }
  turn_rows<true>(rows, filled, block_size, tile);
}

struct TileNearest {
  Floats best[2];
  Floats second[2];
  Ints code[2];
};

inline int number_of(const ScoreArgs& args, int centroid) {
  return args.numbers == nullptr ? centroid : args.numbers[centroid];
}

template <bool kWithSecond>
inline void offer(TileNearest& nearest, int half, Floats score, Ints number) {
  const Mask better = less(score, nearest.best[half]);
  if constexpr (kWithSecond) {
    nearest.second[half] = min(nearest.second[half], max(score, nearest.best[half]));
  }
  nearest.best[half] = min(score, nearest.best[half]);
  nearest.code[half] = choose(better, number, nearest.code[half]);
}

// Offers centroids c … c + kChains − 1 to the first kHalves halves of a tile. kBlockSize: known at compile
// time, or 0.
template <int kBlockSize, bool kWithSecond, int kHalves, int kChains>
inline void score_centroids(const ScoreArgs& args, int c, const Tile& tile, TileNearest& nearest) {
  const int block_size = kBlockSize == 0 ? args.block_size : kBlockSize;
  const float* values = args.centroids + int64_t{c} * block_size;
  Floats scores[kChains][kHalves];
#pragma GCC unroll 8
  for (int i = 0; i < kChains; ++i) {
#pragma GCC unroll 2
    for (int half = 0; half < kHalves; ++half) scores[i][half] = broadcast(args.half_norms[c + i]);
  }
#pragma GCC unroll 8
  for (int j = 0; j < block_size; ++j) {
    Floats elements[kHalves];
#pragma GCC unroll 2
    for (int half = 0; half < kHalves; ++half) elements[half] = load(tile.elements[j] + half * kLanes);
#pragma GCC unroll 8
    for (int i = 0; i < kChains; ++i) {
      const Floats value = broadcast(values[i * block_size + j]);
#pragma GCC unroll 2
      for (int half = 0; half < kHalves; ++half)
        scores[i][half] = fnmadd(elements[half], value, scores[i][half]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kChains; ++i) {
    const Ints number = broadcast_int(number_of(args, c + i));
#pragma GCC unroll 2
    for (int half = 0; half < kHalves; ++half) offer<kWithSecond>(nearest, half, scores[i][half], number);
  }
}

// Eight chains of multiply-adds at a time keep the units busy: four centroids for a whole tile, eight for a
// half.
template <int kBlockSize, bool kWithSecond, int kHalves>
inline TileNearest score_tile(const ScoreArgs& args, const Tile& tile) {
  const Floats infinity = broadcast(__builtin_inff());
  TileNearest nearest{{infinity, infinity}, {infinity, infinity}, {broadcast_int(0), broadcast_int(0)}};
  int c = 0;
  if constexpr (kHalves == 1) {
    for (; c + 8 <= args.num_centroids; c += 8)
      score_centroids<kBlockSize, kWithSecond, 1, 8>(args, c, tile, nearest);
  }
  for (; c + 4 <= args.num_centroids; c += 4)
    score_centroids<kBlockSize, kWithSecond, kHalves, 4>(args, c, tile, nearest);
  for (; c < args.num_centroids; ++c)
    score_centroids<kBlockSize, kWithSecond, kHalves, 1>(args, c, tile, nearest);
  return nearest;
}

template <bool kWithSecond, int kHalves>
inline TileNearest score_halves(const ScoreArgs& args, const Tile& tile) {
  if (args.block_size == 8) return score_tile<8, kWithSecond, kHalves>(args, tile);
  if (args.block_size == 4) return score_tile<4, kWithSecond, kHalves>(args, tile);
  return score_tile<0, kWithSecond, kHalves>(args, tile);
}

// count: blocks in the tile; the results of a half without blocks are without meaning.
template <bool kWithSecond>
inline TileNearest score_tile_any(const ScoreArgs& args, const Tile& tile, int64_t count) {
  if (count <= kLanes) return score_halves<kWithSecond, 1>(args, tile);
  return score_halves<kWithSecond, 2>(args, tile);
}

inline Floats tile_squared_norms(const Tile& tile, int block_size, int half) {
  Floats sum = broadcast(0);
  for (int j = 0; j < block_size; ++j) {
    const Floats x = load(tile.elements[j] + half * kLanes);
    sum = fmadd(x, x, sum);
  }
  return sum;
}

// Where a tile's results go: straight to `out` when the tile is full, else through room for a whole one.
template <typename T>
class TileOut {
 public:
  TileOut(T* out, int64_t count) : out_(out), count_(count) {}
  ~TileOut() {
    if (count_ == kTileBlocks || out_ == nullptr) return;
    for (int64_t i = 0; i < count_; ++i) out_[i] = room_[i];
  }
  T* half(int half) { return (count_ == kTileBlocks && out_ != nullptr ? out_ : room_) + half * kLanes; }

 private:
  T* out_;
  int64_t count_;
  T room_[kTileBlocks];
};

inline const uint16_t* picks_from(const ScoreArgs& args, int64_t begin) {
  return args.picks == nullptr ? nullptr : args.picks + begin;
}

inline const float* rows_from(const ScoreArgs& args, int64_t begin) {
  return args.picks == nullptr ? args.blocks + begin * args.block_size : args.blocks;
}

inline int64_t tile_count(const ScoreArgs& args, int64_t begin) {
  return args.num_blocks - begin < kTileBlocks ? args.num_blocks - begin : kTileBlocks;
}

inline void assign_tiles(const ScoreArgs& args, uint16_t* codes, float* scores) {
  Tile tile;
  for (int64_t begin = 0; begin < args.num_blocks; begin += kTileBlocks) {
    const int64_t count = tile_count(args, begin);
    load_tile(rows_from(args, begin), picks_from(args, begin), count, args.block_size, tile);
    const TileNearest nearest = score_tile_any<false>(args, tile, count);
    TileOut<uint16_t> code_out(codes + begin, count);
    TileOut<float> score_out(scores == nullptr ? nullptr : scores + begin, count);
    for (int half = 0; half < 2; ++half) {
      store_low_halves(code_out.half(half), nearest.code[half]);
      store(score_out.half(half), nearest.best[half]);
    }
  }
}

// Squared norms of half a tile's blocks less the margin that makes distances lower bounds.
inline Floats lower_base(const Tile& tile, int block_size, int half, float margin_constant,
                         float margin_slope) {
  const Floats norms = tile_squared_norms(tile, block_size, half);
  return sub(norms, fmadd(broadcast(margin_slope), norms, broadcast(margin_constant)));
}

// The bf16 below a bound plus its offset; 8 units in the last place cover the rounding of the sum.
inline Ints stored_bounds(Floats base, Floats score, float offset) {
  const Floats bound = root(max(fmadd(broadcast(2), score, base), broadcast(0)));
  return upper_halves(mul(add(bound, broadcast(offset)), broadcast(1.0f - 0x1p-21f)));
}

inline void nearest_two_tiles(const ScoreArgs& args, const NearestTwo& out) {
  Tile tile;
  for (int64_t begin = 0; begin < args.num_blocks; begin += kTileBlocks) {
    const int64_t count = tile_count(args, begin);
    load_tile(rows_from(args, begin), picks_from(args, begin), count, args.block_size, tile);
    const TileNearest nearest = score_tile_any<true>(args, tile, count);
    TileOut<uint16_t> code_out(out.codes + begin, count);
    TileOut<float> score_out(out.scores + begin, count);
    TileOut<uint16_t> best_out(out.best_bounds + begin, count);
    TileOut<uint16_t> second_out(out.second_bounds + begin, count);
    for (int half = 0; half < 2; ++half) {
      const Floats base = lower_base(tile, args.block_size, half, out.margin_constant, out.margin_slope);
      store_low_halves(code_out.half(half), nearest.code[half]);
      store(score_out.half(half), nearest.best[half]);
      store_low_halves(best_out.half(half), stored_bounds(base, nearest.best[half], out.offset));
      store_low_halves(second_out.half(half), stored_bounds(base, nearest.second[half], out.offset));
    }
  }
}

// The nearest of all groups so far, for half a tile.
struct GroupWinner {
  Floats score = broadcast(__builtin_inff());
  Ints code = broadcast_int(0);
  Ints group = broadcast_int(0);
  Ints second_bound = broadcast_int(0);

  void offer(Floats other_score, Ints other_code, Ints other_group, Ints other_second_bound) {
    const Mask tie = both(equal(other_score, score), less(other_code, code));
    const Mask nearer = either(less(other_score, score), tie);
    score = min(other_score, score);
    code = choose(nearer, other_code, code);
    group = choose(nearer, other_group, group);
    second_bound = choose(nearer, other_second_bound, second_bound);
  }
};

inline void nearest_by_group_tiles(const ScoreArgs* groups, int num_groups, const NearestByGroup& out) {
  const ScoreArgs& blocks = groups[0];
  Tile tile;
  for (int64_t begin = 0; begin < blocks.num_blocks; begin += kTileBlocks) {
    const int64_t count = tile_count(blocks, begin);
    load_tile(rows_from(blocks, begin), picks_from(blocks, begin), count, blocks.block_size, tile);
    Floats base[2];
    GroupWinner winner[2];
    for (int half = 0; half < 2; ++half) {
      base[half] = lower_base(tile, blocks.block_size, half, out.margin_constant, out.margin_slope);
    }
    for (int g = 0; g < num_groups; ++g) {
      const TileNearest nearest = score_tile_any<true>(groups[g], tile, count);
      TileOut<uint16_t> bound_out(out.bounds + g * out.bounds_stride + begin, count);
      for (int half = 0; half < 2; ++half) {
        store_low_halves(bound_out.half(half), stored_bounds(base[half], nearest.best[half], out.offsets[g]));
        winner[half].offer(nearest.best[half], nearest.code[half], broadcast_int(g),
                           stored_bounds(base[half], nearest.second[half], out.offsets[g]));
      }
    }
    uint16_t winning_groups[kTileBlocks], second_bounds[kTileBlocks];
    TileOut<uint16_t> code_out(out.codes + begin, count);
    for (int half = 0; half < 2; ++half) {
      store_low_halves(code_out.half(half), winner[half].code);
      store_low_halves(winning_groups + half * kLanes, winner[half].group);
      store_low_halves(second_bounds + half * kLanes, winner[half].second_bound);
    }
    for (int64_t i = 0; i < count; ++i) {
      out.bounds[winning_groups[i] * out.bounds_stride + begin + i] = second_bounds[i];
    }
  }
}

inline void own_distance_tiles(const ScoreArgs& args, const uint16_t* codes, const OwnDistance& out) {
  Tile tile, centroid_tile;
  const Floats constant = broadcast(out.margin_constant);
  const Floats slope = broadcast(out.margin_slope);
  for (int64_t begin = 0; begin < args.num_blocks; begin += kTileBlocks) {
    const int64_t count = tile_count(args, begin);
    load_tile(rows_from(args, begin), picks_from(args, begin), count, args.block_size, tile);
    load_tile(args.centroids, codes + begin, count, args.block_size, centroid_tile);
    float own_half_norms[kTileBlocks];
    for (int i = 0; i < kTileBlocks; ++i) {
      own_half_norms[i] = args.half_norms[codes[begin + (i < count ? i : count - 1)]];
    }
    TileOut<float> score_out(out.scores + begin, count);
    TileOut<float> norm_out(out.squared_norms + begin, count);
    TileOut<float> bound_out(out.upper_bounds + begin, count);
    for (int half = 0; half < 2; ++half) {
      Floats score = load(own_half_norms + half * kLanes);
      for (int j = 0; j < args.block_size; ++j) {
        const Floats value = load(centroid_tile.elements[j] + half * kLanes);
        score = fnmadd(load(tile.elements[j] + half * kLanes), value, score);
      }
      const Floats norm = tile_squared_norms(tile, args.block_size, half);
      const Floats base = add(norm, fmadd(slope, norm, constant));
      store(score_out.half(half), score);
      store(norm_out.half(half), norm);
      store(bound_out.half(half), root(max(fmadd(broadcast(2), score, base), broadcast(0))));
    }
  }
}

inline Floats limit_of(Floats squared_distance, const OwnLimit& out) {
  return root(fmadd(squared_distance, broadcast(out.scale), broadcast(out.constant)));
}

// Blocks of eight are compared row by row and only the sums of the rows turned.
template <bool kPicked>
inline void own_limit_rows(const ScoreArgs& args, const uint16_t* codes, int64_t begin, const OwnLimit& out) {
  const auto block = [&](int i) {
    return args.blocks + (kPicked ? int64_t{args.picks[begin + i]} : begin + i) * 8;
  };
  const auto centroid = [&](int i) { return args.centroids + int64_t{codes[begin + i]} * 8; };
  Floats squares[8];
#pragma GCC unroll 8
  for (int v = 0; v < 8; ++v) {
    const Floats difference = sub(rows_of_8(block, v), rows_of_8(centroid, v));
    squares[v] = mul(difference, difference);
  }
  store(out.limits + begin, limit_of(row_sums(squares), out));
}

inline void own_limit_tiles(const ScoreArgs& args, const uint16_t* codes, const OwnLimit& out) {
  int64_t begin = 0;
  if (args.block_size == 8) {
    for (; begin + kLanes <= args.num_blocks; begin += kLanes) {
      if (args.picks == nullptr) {
        own_limit_rows<false>(args, codes, begin, out);
      } else {
        own_limit_rows<true>(args, codes, begin, out);
      }
    }
  }
  Tile tile, centroid_tile;
  for (; begin < args.num_blocks; begin += kTileBlocks) {
    const int64_t count = tile_count(args, begin);
    load_tile(rows_from(args, begin), picks_from(args, begin), count, args.block_size, tile);
    load_tile(args.centroids, codes + begin, count, args.block_size, centroid_tile);
    TileOut<float> limit_out(out.limits + begin, count);
    for (int half = 0; half < 2; ++half) {
      Floats sum = broadcast(0);
      for (int j = 0; j < args.block_size; ++j) {
        const Floats difference =
            sub(load(tile.elements[j] + half * kLanes), load(centroid_tile.elements[j] + half * kLanes));
        sum = fmadd(difference, difference, sum);
      }
      store(limit_out.half(half), limit_of(sum, out));
    }
  }
}

// Longer blocks than a tile holds go through the plain loops.

inline void assign(const ScoreArgs& args, uint16_t* codes, float* scores) noexcept {
  if (args.block_size > kMaxTileSize) return portable::assign(args, codes, scores);
  assign_tiles(args, codes, scores);
}

inline void nearest_two(const ScoreArgs& args, const NearestTwo& out) noexcept {
  if (args.block_size > kMaxTileSize) return portable::nearest_two(args, out);
  nearest_two_tiles(args, out);
}

inline void nearest_by_group(const ScoreArgs* groups, int num_groups, const NearestByGroup& out) noexcept {
  if (groups[0].block_size > kMaxTileSize) return portable::nearest_by_group(groups, num_groups, out);
  nearest_by_group_tiles(groups, num_groups, out);
}

inline void own_distance(const ScoreArgs& args, const uint16_t* codes, const OwnDistance& out) noexcept {
  if (args.block_size > kMaxTileSize) return portable::own_distance(args, codes, out);
  own_distance_tiles(args, codes, out);
}

inline void own_limit(const ScoreArgs& args, const uint16_t* codes, const OwnLimit& out) noexcept {
  if (args.block_size > kMaxTileSize) return portable::own_limit(args, codes, out);
  own_limit_tiles(args, codes, out);
}

/// The table of a set; select_not_above is its own.
constexpr AssignKernels assign_set(const char* name, decltype(AssignKernels::select_not_above) select,
                                   Accumulate* accumulate) {
  return {name, assign, nearest_two, nearest_by_group, own_distance, own_limit, select, accumulate};
}

}  // namespace
}  // namespace quantnoise::kernels
