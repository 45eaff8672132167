#pragma once
// k-means: the nearest centroids of blocks, bounds of distances, sums of the blocks of a centroid. Ranges
// only, no threads, no errors. Sets differ in the assignment by the rounding of a fused multiply-add, and
// give the same bits where only comparisons and additions in the same order are involved.

#include <cstdint>

namespace quantnoise::kernels {

/// Blocks to compare with a codebook. score(block, centroid) = half_norms[centroid] − block·centroid, which
/// is half of the squared distance less half of the block's squared norm; it is accumulated in fp32 from
/// element 0 upwards.
struct ScoreArgs {
  const float* blocks = nullptr;    ///< (at least the largest pick + 1, block_size)
  const uint16_t* picks = nullptr;  ///< numbers of the blocks to take; null: 0, 1, 2, …
  int64_t num_blocks = 0;           ///< how many to take
  int block_size = 8;
  const float* centroids = nullptr;   ///< (num_centroids, block_size)
  const float* half_norms = nullptr;  ///< (num_centroids): half the squared norms
  int num_centroids = 0;              ///< 1 … 65,536
  const uint16_t* numbers = nullptr;  ///< codes to give out, rising, one a centroid; null: 0, 1, 2, …
};

/// The two nearest centroids of every block taken, as lower bounds of distances. A squared distance is
/// lessened by margin_constant + margin_slope · |block|² before its root is taken; the root plus `offset`,
/// less a little for the rounding of the sum, is cut off to bf16 bits.
struct NearestTwo {
  float margin_constant = 0;
  float margin_slope = 0;
  float offset = 0;
  uint16_t* codes = nullptr;        ///< nearest, ties to the lowest
  float* scores = nullptr;          ///< of the nearest
  uint16_t* best_bounds = nullptr;  ///< lower bound of the distance to the nearest
  uint16_t* second_bounds =
      nullptr;  ///< lower bound of the distance to every other; infinity when there is none
};

/// The nearest centroid of all groups, and for every group a bound as in NearestTwo of the distance to all of
/// its centroids other than that nearest one.
struct NearestByGroup {
  float margin_constant = 0;
  float margin_slope = 0;
  const float* offsets = nullptr;  ///< one a group
  uint16_t* codes = nullptr;
  uint16_t* bounds = nullptr;  ///< (num_groups, bounds_stride)
  int64_t bounds_stride = 0;
};

/// Every block and the centroid it has, with an upper bound of their distance: the squared distance is raised
/// by margin_constant + margin_slope · |block|² before its root is taken.
struct OwnDistance {
  float margin_constant = 0;
  float margin_slope = 0;
  float* scores = nullptr;
  float* squared_norms = nullptr;  ///< of the blocks
  float* upper_bounds = nullptr;
};

/// Upper bounds of the distances between blocks and the centroids they have:
/// sqrt(scale · |block − centroid|² + constant).
struct OwnLimit {
  float scale = 1;
  float constant = 0;
  float* limits = nullptr;
};

struct AssignKernels {
  const char* name;

  /// Nearest centroid of every block taken, ties to the lowest. scores may be null.
  void (*assign)(const ScoreArgs& args, uint16_t* codes, float* scores) noexcept;
  void (*nearest_two)(const ScoreArgs& args, const NearestTwo& out) noexcept;
  /// groups: the same blocks with the centroids of each group; at most 256.
  void (*nearest_by_group)(const ScoreArgs* groups, int num_groups, const NearestByGroup& out) noexcept;
  /// Every block taken with the centroid it has; codes: by position in the list.
  void (*own_distance)(const ScoreArgs& args, const uint16_t* codes, const OwnDistance& out) noexcept;
  /// Cheaper than own_distance, but without the scores of assign. codes: by position in the list.
  void (*own_limit)(const ScoreArgs& args, const uint16_t* codes, const OwnLimit& out) noexcept;
  /// Writes the numbers i < count with bounds[i] − offset <= limits[i], rising, to picks; returns how many.
  /// bounds: bf16 bits. picks has room for count + 16 numbers. count <= 65,536.
  int64_t (*select_not_above)(const uint16_t* bounds, float offset, const float* limits, int64_t count,
                              uint16_t* picks) noexcept;

  /// sums[codes[i]] += blocks[i] and, unless counts is null, counts[codes[i]] += 1, in the order of i.
  /// blocks: (num_blocks, block_size); sums: (num_centroids, block_size).
  void (*accumulate)(const float* blocks, const uint16_t* codes, int64_t num_blocks, int block_size,
                     double* sums, int64_t* counts) noexcept;
};

extern const AssignKernels kAssignPortable;
#if defined(__x86_64__)
extern const AssignKernels kAssignAvx2;
extern const AssignKernels kAssignAvx512;
#elif defined(__aarch64__)
extern const AssignKernels kAssignNeon;
#endif

/// Of the set in use.
const AssignKernels& assign_kernels();

}  // namespace quantnoise::kernels
