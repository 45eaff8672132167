#pragma once
// One round of k-means: the nearest centroid of every block, and the sums that the next centroids are made
// of.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "quantnoise/base/parallel.h"

namespace quantnoise::codec {

/// What the members of the clusters add up to.
struct ClusterSums {
  std::vector<double> sums;     ///< (num_centroids, block_size): Σ weight · block
  std::vector<double> weights;  ///< (num_centroids, block_size): Σ weight; empty when all weights are 1
  std::vector<int64_t> counts;  ///< (num_centroids): members
  int64_t num_changed = 0;      ///< blocks whose code is another than before
};

class BlockAssigner {
 public:
  virtual ~BlockAssigner() = default;
  /// Sets the codes of all blocks to the nearest of `centroids`, shape (num_centroids, block_size), ties to
  /// the lowest.
  virtual ClusterSums assign(std::span<const float> centroids) = 0;
  virtual std::span<const uint16_t> codes() const = 0;
};

struct BlockMatrix {
  std::span<const float> values;  ///< (rows, cols) row-major
  int64_t rows = 0;
  int64_t cols = 0;
  int block_size = 0;

  int64_t blocks_per_row() const { return cols / block_size; }
  int64_t num_blocks() const { return rows * blocks_per_row(); }
};

/// Exact, but skips the centroids that distance bounds kept from earlier rounds rule out.
std::unique_ptr<BlockAssigner> make_pruned_assigner(const BlockMatrix& matrix,
                                                    std::span<const float> centroids,
                                                    const base::ParallelFor& parallel_for);

/// Minimizes Σ_j w_j (x_j − c_j)² with one weight for each column of the matrix.
std::unique_ptr<BlockAssigner> make_weighted_assigner(const BlockMatrix& matrix,
                                                      std::span<const float> column_weights,
                                                      int num_centroids,
                                                      const base::ParallelFor& parallel_for);

/// Adds the partial sums in their order, so that the result does not depend on the number of threads.
void add_partials(const std::vector<ClusterSums>& partials, ClusterSums& total);

}  // namespace quantnoise::codec
