#pragma once
// The assignment loops over the vector names of simd_avx2.h or simd_avx512.h, one of which is included before.
//
// A tile of 2·kLanes blocks is turned so that a vector holds one element of kLanes blocks; four centroids are scored at
// a time, which makes eight independent chains of multiply-adds and reads every element of the tile once for four uses.

#include "core/kernels/kernel_sets.h"

namespace quantnoise::kernels {
namespace {

constexpr int kTileBlocks = 2 * kLanes;
constexpr int kMaxTileSize = 64;  ///< longer blocks are scored in the plain loop
constexpr int kChains = 4;

struct alignas(64) Tile {
  float elements[kMaxTileSize][kTileBlocks];
};

// An 8 × 8 square of floats whose rows lie at rows[0 … 7], turned into out[0 … 7][0 … 7].
inline void transpose_8x8(const float* const* rows, float* out, int out_stride) {
  const __m256 r0 = _mm256_loadu_ps(rows[0]), r1 = _mm256_loadu_ps(rows[1]);
  const __m256 r2 = _mm256_loadu_ps(rows[2]), r3 = _mm256_loadu_ps(rows[3]);
  const __m256 r4 = _mm256_loadu_ps(rows[4]), r5 = _mm256_loadu_ps(rows[5]);
  const __m256 r6 = _mm256_loadu_ps(rows[6]), r7 = _mm256_loadu_ps(rows[7]);
  const __m256 a0 = _mm256_unpacklo_ps(r0, r1), a1 = _mm256_unpackhi_ps(r0, r1);
  const __m256 a2 = _mm256_unpacklo_ps(r2, r3), a3 = _mm256_unpackhi_ps(r2, r3);
  const __m256 a4 = _mm256_unpacklo_ps(r4, r5), a5 = _mm256_unpackhi_ps(r4, r5);
  const __m256 a6 = _mm256_unpacklo_ps(r6, r7), a7 = _mm256_unpackhi_ps(r6, r7);
  const __m256 b0 = _mm256_shuffle_ps(a0, a2, 0x44), b1 = _mm256_shuffle_ps(a0, a2, 0xEE);
  const __m256 b2 = _mm256_shuffle_ps(a1, a3, 0x44), b3 = _mm256_shuffle_ps(a1, a3, 0xEE);
  const __m256 b4 = _mm256_shuffle_ps(a4, a6, 0x44), b5 = _mm256_shuffle_ps(a4, a6, 0xEE);
  const __m256 b6 = _mm256_shuffle_ps(a5, a7, 0x44), b7 = _mm256_shuffle_ps(a5, a7, 0xEE);
  _mm256_storeu_ps(out + 0 * out_stride, _mm256_permute2f128_ps(b0, b4, 0x20));
  _mm256_storeu_ps(out + 1 * out_stride, _mm256_permute2f128_ps(b1, b5, 0x20));
  _mm256_storeu_ps(out + 2 * out_stride, _mm256_permute2f128_ps(b2, b6, 0x20));
  _mm256_storeu_ps(out + 3 * out_stride, _mm256_permute2f128_ps(b3, b7, 0x20));
  _mm256_storeu_ps(out + 4 * out_stride, _mm256_permute2f128_ps(b0, b4, 0x31));
  _mm256_storeu_ps(out + 5 * out_stride, _mm256_permute2f128_ps(b1, b5, 0x31));
  _mm256_storeu_ps(out + 6 * out_stride, _mm256_permute2f128_ps(b2, b6, 0x31));
  _mm256_storeu_ps(out + 7 * out_stride, _mm256_permute2f128_ps(b3, b7, 0x31));
}

// The same for rows of four floats.
inline void transpose_8x4(const float* const* rows, float* out, int out_stride) {
  for (int half = 0; half < 2; ++half) {
    __m128 r0 = _mm_loadu_ps(rows[4 * half]), r1 = _mm_loadu_ps(rows[4 * half + 1]);
    __m128 r2 = _mm_loadu_ps(rows[4 * half + 2]), r3 = _mm_loadu_ps(rows[4 * half + 3]);
    _MM_TRANSPOSE4_PS(r0, r1, r2, r3);
    _mm_storeu_ps(out + 4 * half, r0);
    _mm_storeu_ps(out + out_stride + 4 * half, r1);
    _mm_storeu_ps(out + 2 * out_stride + 4 * half, r2);
    _mm_storeu_ps(out + 3 * out_stride + 4 * half, r3);
  }
}

// Turns rows picks[0 … count) (null: 0, 1, …) of `rows` into the tile; a short tile is filled up with its last row.
inline void load_tile(const float* rows, const uint16_t* picks, int64_t count, int block_size, Tile& tile) {
  const float* starts[kTileBlocks];
  for (int i = 0; i < kTileBlocks; ++i) {
    const int64_t position = i < count ? i : count - 1;
    starts[i] = rows + (picks == nullptr ? position : picks[position]) * block_size;
  }
  for (int i = 0; i < kTileBlocks; i += 8) {
    const float* part[8];
    int j = 0;
    for (; j + 8 <= block_size; j += 8) {
      for (int lane = 0; lane < 8; ++lane) part[lane] = starts[i + lane] + j;
      transpose_8x8(part, &tile.elements[j][i], kTileBlocks);
    }
    if (j + 4 <= block_size) {
      for (int lane = 0; lane < 8; ++lane) part[lane] = starts[i + lane] + j;
      transpose_8x4(part, &tile.elements[j][i], kTileBlocks);
      j += 4;
    }
    for (; j < block_size; ++j) {
      for (int lane = 0; lane < 8; ++lane) tile.elements[j][i + lane] = starts[i + lane][j];
    }
  }
}

struct TileNearest {
  Floats best[2];
  Floats second[2];
  Ints code[2];
};

template <bool kWithSecond>
inline void offer(TileNearest& nearest, int half, Floats score, int code) {
  const Mask better = less(score, nearest.best[half]);
  if constexpr (kWithSecond) {
    nearest.second[half] = min(nearest.second[half], max(score, nearest.best[half]));
  }
  nearest.best[half] = min(score, nearest.best[half]);
  nearest.code[half] = choose(better, broadcast_int(code), nearest.code[half]);
}

// kBlockSize: known at compile time, or 0.
template <int kBlockSize, bool kWithSecond>
inline TileNearest score_tile(const ScoreArgs& args, const Tile& tile) {
  const int block_size = kBlockSize == 0 ? args.block_size : kBlockSize;
  const Floats infinity = broadcast(__builtin_inff());
  TileNearest nearest{{infinity, infinity}, {infinity, infinity}, {broadcast_int(0), broadcast_int(0)}};
  int c = 0;
  for (; c + kChains <= args.num_centroids; c += kChains) {
    const float* values = args.centroids + int64_t{c} * block_size;
    Floats scores[kChains][2];
    for (int i = 0; i < kChains; ++i) scores[i][0] = scores[i][1] = broadcast(args.half_norms[c + i]);
#pragma GCC unroll 8
    for (int j = 0; j < block_size; ++j) {
      const Floats low = load(tile.elements[j]);
      const Floats high = load(tile.elements[j] + kLanes);
#pragma GCC unroll 4
      for (int i = 0; i < kChains; ++i) {
        const Floats value = broadcast(values[i * block_size + j]);
        scores[i][0] = fnmadd(low, value, scores[i][0]);
        scores[i][1] = fnmadd(high, value, scores[i][1]);
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < kChains; ++i) {
      offer<kWithSecond>(nearest, 0, scores[i][0], c + i);
      offer<kWithSecond>(nearest, 1, scores[i][1], c + i);
    }
  }
  for (; c < args.num_centroids; ++c) {
    Floats scores[2] = {broadcast(args.half_norms[c]), broadcast(args.half_norms[c])};
    for (int j = 0; j < block_size; ++j) {
      const Floats value = broadcast(args.centroids[int64_t{c} * block_size + j]);
      scores[0] = fnmadd(load(tile.elements[j]), value, scores[0]);
      scores[1] = fnmadd(load(tile.elements[j] + kLanes), value, scores[1]);
    }
    offer<kWithSecond>(nearest, 0, scores[0], c);
    offer<kWithSecond>(nearest, 1, scores[1], c);
  }
  return nearest;
}

template <bool kWithSecond>
inline TileNearest score_tile_any(const ScoreArgs& args, const Tile& tile) {
  if (args.block_size == 8) return score_tile<8, kWithSecond>(args, tile);
  if (args.block_size == 4) return score_tile<4, kWithSecond>(args, tile);
  return score_tile<0, kWithSecond>(args, tile);
}

inline Floats tile_squared_norms(const Tile& tile, int block_size, int half) {
  Floats sum = broadcast(0);
  for (int j = 0; j < block_size; ++j) {
    const Floats x = load(tile.elements[j] + half * kLanes);
    sum = fmadd(x, x, sum);
  }
  return sum;
}

// Copies the first `count` values of a full tile of results.
template <typename T>
inline void copy_results(const T* from, int64_t count, T* to) {
  for (int64_t i = 0; i < count; ++i) to[i] = from[i];
}

inline const uint16_t* picks_from(const ScoreArgs& args, int64_t begin) {
  return args.picks == nullptr ? nullptr : args.picks + begin;
}

inline const float* rows_from(const ScoreArgs& args, int64_t begin) {
  return args.picks == nullptr ? args.blocks + begin * args.block_size : args.blocks;
}

inline void assign_tiles(const ScoreArgs& args, uint16_t* codes, float* scores) {
  Tile tile;
  for (int64_t begin = 0; begin < args.num_blocks; begin += kTileBlocks) {
    const int64_t count = args.num_blocks - begin < kTileBlocks ? args.num_blocks - begin : kTileBlocks;
    load_tile(rows_from(args, begin), picks_from(args, begin), count, args.block_size, tile);
    const TileNearest nearest = score_tile_any<false>(args, tile);
    uint16_t tile_codes[kTileBlocks];
    float tile_scores[kTileBlocks];
    for (int half = 0; half < 2; ++half) {
      store_low_halves(tile_codes + half * kLanes, nearest.code[half]);
      store(tile_scores + half * kLanes, nearest.best[half]);
    }
    copy_results(tile_codes, count, codes + begin);
    if (scores != nullptr) copy_results(tile_scores, count, scores + begin);
  }
}

inline void nearest_two_tiles(const ScoreArgs& args, const NearestTwo& out) {
  Tile tile;
  const Floats constant = broadcast(out.margin_constant);
  const Floats slope = broadcast(out.margin_slope);
  for (int64_t begin = 0; begin < args.num_blocks; begin += kTileBlocks) {
    const int64_t count = args.num_blocks - begin < kTileBlocks ? args.num_blocks - begin : kTileBlocks;
    load_tile(rows_from(args, begin), picks_from(args, begin), count, args.block_size, tile);
    const TileNearest nearest = score_tile_any<true>(args, tile);
    uint16_t codes[kTileBlocks];
    float scores[kTileBlocks], best[kTileBlocks], second[kTileBlocks];
    for (int half = 0; half < 2; ++half) {
      const Floats norms = tile_squared_norms(tile, args.block_size, half);
      const Floats base = sub(norms, fmadd(slope, norms, constant));
      const Floats zero = broadcast(0), two = broadcast(2);
      store_low_halves(codes + half * kLanes, nearest.code[half]);
      store(scores + half * kLanes, nearest.best[half]);
      store(best + half * kLanes, root(max(fmadd(two, nearest.best[half], base), zero)));
      store(second + half * kLanes, root(max(fmadd(two, nearest.second[half], base), zero)));
    }
    copy_results(codes, count, out.codes + begin);
    copy_results(scores, count, out.scores + begin);
    copy_results(best, count, out.best_bounds + begin);
    copy_results(second, count, out.second_bounds + begin);
  }
}

inline void own_distance_tiles(const ScoreArgs& args, const uint16_t* codes, const OwnDistance& out) {
  Tile tile, centroid_tile;
  const Floats constant = broadcast(out.margin_constant);
  const Floats slope = broadcast(out.margin_slope);
  for (int64_t begin = 0; begin < args.num_blocks; begin += kTileBlocks) {
    const int64_t count = args.num_blocks - begin < kTileBlocks ? args.num_blocks - begin : kTileBlocks;
    load_tile(rows_from(args, begin), picks_from(args, begin), count, args.block_size, tile);
    load_tile(args.centroids, codes + begin, count, args.block_size, centroid_tile);
    float scores[kTileBlocks], norms[kTileBlocks], bounds[kTileBlocks];
    for (int i = 0; i < kTileBlocks; ++i) {
      scores[i] = args.half_norms[codes[begin + (i < count ? i : count - 1)]];
    }
    for (int half = 0; half < 2; ++half) {
      Floats score = load(scores + half * kLanes);
      for (int j = 0; j < args.block_size; ++j) {
        const Floats value = load(centroid_tile.elements[j] + half * kLanes);
        score = fnmadd(load(tile.elements[j] + half * kLanes), value, score);
      }
      const Floats norm = tile_squared_norms(tile, args.block_size, half);
      const Floats base = add(norm, fmadd(slope, norm, constant));
      store(scores + half * kLanes, score);
      store(norms + half * kLanes, norm);
      store(bounds + half * kLanes, root(max(fmadd(broadcast(2), score, base), broadcast(0))));
    }
    copy_results(scores, count, out.scores + begin);
    copy_results(norms, count, out.squared_norms + begin);
    copy_results(bounds, count, out.upper_bounds + begin);
  }
}

}  // namespace
}  // namespace quantnoise::kernels
