#include "core/codec/block_assigner.h"
#include "core/codec/blocks.h"
#include "quantnoise/base/checked.h"
#include "quantnoise/kernels/assign.h"

namespace quantnoise::codec {

void add_partials(const std::vector<ClusterSums>& partials, ClusterSums& total) {
  for (const ClusterSums& partial : partials) {
    for (size_t i = 0; i < total.sums.size(); ++i) total.sums[i] += partial.sums[i];
    for (size_t i = 0; i < total.weights.size(); ++i) total.weights[i] += partial.weights[i];
    for (size_t i = 0; i < total.counts.size(); ++i) total.counts[i] += partial.counts[i];
    total.num_changed += partial.num_changed;
  }
}

namespace {

// Blocks of one column share their weights: the scores are those of blocks multiplied by the weights and
// centroids with weighted norms, so the plain kernels serve.
class WeightedAssigner : public BlockAssigner {
 public:
  WeightedAssigner(const BlockMatrix& matrix, std::span<const float> column_weights, int num_centroids,
                   const base::ParallelFor& parallel_for)
      : matrix_(matrix),
        weights_(column_weights),
        num_centroids_(num_centroids),
        parallel_for_(parallel_for),
        codes_(static_cast<size_t>(matrix.num_blocks())) {}

  ClusterSums assign(std::span<const float> centroids) override {
    std::vector<int64_t> changed(static_cast<size_t>(matrix_.blocks_per_row()));
    parallel_for_(matrix_.blocks_per_row(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t block = begin; block < end; ++block) {
        changed[static_cast<size_t>(block)] = assign_column(centroids, block);
      }
    });
    ClusterSums total = sum_clusters();
    for (const int64_t count : changed) total.num_changed += count;
    return total;
  }

  std::span<const uint16_t> codes() const override { return codes_; }

 private:
  // All rows' codes of one block column; returns how many changed.
  int64_t assign_column(std::span<const float> centroids, int64_t block) {
    const int size = matrix_.block_size;
    const std::span<const float> weights =
        weights_.subspan(static_cast<size_t>(block * size), static_cast<size_t>(size));
    const std::vector<float> half_norms = half_squared_norms(centroids, size, weights);
    std::vector<float> scaled(static_cast<size_t>(matrix_.rows * size));
    for (int64_t row = 0; row < matrix_.rows; ++row) {
      const float* values = matrix_.values.data() + row * matrix_.cols + block * size;
      for (int j = 0; j < size; ++j)
        scaled[static_cast<size_t>(row * size + j)] = values[j] * weights[static_cast<size_t>(j)];
    }
    std::vector<uint16_t> codes(static_cast<size_t>(matrix_.rows));
    const kernels::ScoreArgs args{scaled.data(),    nullptr,           matrix_.rows,  size,
                                  centroids.data(), half_norms.data(), num_centroids_};
    kernels::assign_kernels().assign(args, codes.data(), nullptr);
    int64_t changed = 0;
    for (int64_t row = 0; row < matrix_.rows; ++row) {
      uint16_t& code = codes_[static_cast<size_t>(row * matrix_.blocks_per_row() + block)];
      changed += code != codes[static_cast<size_t>(row)];
      code = codes[static_cast<size_t>(row)];
    }
    return changed;
  }

  ClusterSums empty_sums() const {
    const auto size = static_cast<size_t>(num_centroids_) * static_cast<size_t>(matrix_.block_size);
    ClusterSums sums;
    sums.sums.resize(size);
    sums.weights.resize(size);
    sums.counts.resize(static_cast<size_t>(num_centroids_));
    return sums;
  }

  ClusterSums sum_clusters() const {
    const int64_t grain_blocks = blocks_per_partial(matrix_.num_blocks(), num_centroids_, matrix_.block_size);
    const int64_t grain = base::ceil_div(grain_blocks, matrix_.blocks_per_row());
    std::vector<ClusterSums> partials(static_cast<size_t>(base::ceil_div(matrix_.rows, grain)));
    const kernels::AssignKernels& table = kernels::assign_kernels();
    parallel_for_(matrix_.rows, grain, [&](int64_t begin, int64_t end) {
      ClusterSums& partial = partials[static_cast<size_t>(begin / grain)] = empty_sums();
      std::vector<float> scaled(static_cast<size_t>(matrix_.cols));
      for (int64_t row = begin; row < end; ++row) {
        const float* values = matrix_.values.data() + row * matrix_.cols;
        for (size_t j = 0; j < scaled.size(); ++j) scaled[j] = values[j] * weights_[j];
        const uint16_t* codes = codes_.data() + row * matrix_.blocks_per_row();
        table.accumulate(scaled.data(), codes, matrix_.blocks_per_row(), matrix_.block_size,
                         partial.sums.data(), partial.counts.data());
        table.accumulate(weights_.data(), codes, matrix_.blocks_per_row(), matrix_.block_size,
                         partial.weights.data(), nullptr);
      }
    });
    ClusterSums total = empty_sums();
    add_partials(partials, total);
    return total;
  }

  BlockMatrix matrix_;
  std::span<const float> weights_;
  int num_centroids_;
  const base::ParallelFor& parallel_for_;
  std::vector<uint16_t> codes_;
};

}  // namespace

std::unique_ptr<BlockAssigner> make_weighted_assigner(const BlockMatrix& matrix,
                                                      std::span<const float> column_weights,
                                                      int num_centroids,
                                                      const base::ParallelFor& parallel_for) {
  return std::make_unique<WeightedAssigner>(matrix, column_weights, num_centroids, parallel_for);
}

}  // namespace quantnoise::codec
