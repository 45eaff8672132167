#include <algorithm>
#include <cmath>
#include <memory>

#include "core/codec/block_assigner.h"
#include "core/codec/blocks.h"
#include "core/codec/distinct_blocks.h"
#include "quantnoise/base/checked.h"
#include "quantnoise/base/error.h"
#include "quantnoise/base/random.h"
#include "quantnoise/codec/product.h"

namespace quantnoise::codec {

namespace {

void check_options(const KMeansOptions& options, int64_t cols) {
  QN_REQUIRE(options.num_centroids >= 1 && options.num_centroids <= 65536, ErrorKind::kConfig,
             "number of centroids: found ", options.num_centroids, ", expected 1 to 65536");
  for (const int iterations : {options.iterations, options.sample_iterations}) {
    QN_REQUIRE(iterations >= 0, ErrorKind::kConfig, "k-means iterations: found ", iterations,
               ", expected 0 or more");
  }
  if (options.column_weights.empty()) return;
  QN_REQUIRE(static_cast<int64_t>(options.column_weights.size()) == cols, ErrorKind::kConfig,
             "column weights: found ", options.column_weights.size(), ", expected ", cols);
  for (const float weight : options.column_weights) {
    QN_REQUIRE(std::isfinite(weight) && weight >= 0, ErrorKind::kNumeric, "column weights: found ", weight,
               ", expected a finite number of at least 0");
  }
}

// (Weighted) squared error of one block under its code. kBlockSize: known at compile time, or 0.
template <int kBlockSize>
double block_error(const BlockMatrix& matrix, std::span<const float> centroids,
                   std::span<const uint16_t> codes, std::span<const float> column_weights, int64_t block) {
  const int block_size = kBlockSize == 0 ? matrix.block_size : kBlockSize;
  const float* values = matrix.values.data() + block * block_size;
  const float* centroid = centroids.data() + int64_t{codes[static_cast<size_t>(block)]} * block_size;
  // Two sums, for the pairs of doubles that every processor adds at once.
  double error[2] = {0, 0};
  if (column_weights.empty()) {
    for (int j = 0; j < block_size; ++j) {
      const double difference = double{values[j]} - centroid[j];
      error[j % 2] += difference * difference;
    }
    return error[0] + error[1];
  }
  const float* weights = column_weights.data() + block % matrix.blocks_per_row() * block_size;
  for (int j = 0; j < block_size; ++j) {
    const double difference = double{values[j]} - centroid[j];
    error[j % 2] += difference * difference * weights[j];
  }
  return error[0] + error[1];
}

class KMeans {
 public:
  KMeans(const BlockMatrix& matrix, const KMeansOptions& options, const base::ParallelFor& parallel_for)
      : matrix_(matrix), options_(options), parallel_for_(parallel_for) {
    centroids_ = initial_centroids();
    report_.num_centroids = static_cast<int>(centroids_.size()) / matrix.block_size;
    assigner_ = options.column_weights.empty() ? make_pruned_assigner(matrix, centroids_, parallel_for)
                                               : make_weighted_assigner(matrix, options.column_weights,
                                                                        report_.num_centroids, parallel_for);
  }

  void run() {
    ClusterSums sums = assigner_->assign(centroids_);
    while (report_.iterations < options_.iterations) {
      const int num_split = update(sums);
      ++report_.iterations;
      sums = assigner_->assign(centroids_);
      if (sums.num_changed == 0 && num_split == 0) break;
    }
    report_.objective = objective();
  }

  ProductMatrix result() const {
    const std::span<const uint16_t> codes = assigner_->codes();
    return {matrix_.rows,          matrix_.cols, matrix_.block_size,
            report_.num_centroids, centroids_,   std::vector<uint16_t>(codes.begin(), codes.end())};
  }

  const KMeansReport& report() const { return report_; }

 private:
  std::vector<float> initial_centroids() const {
    if (options_.sample_iterations > 0) {
      std::vector<float> found = centroids_of_sample();
      if (static_cast<int64_t>(found.size()) == int64_t{options_.num_centroids} * matrix_.block_size)
        return found;
    }
    std::vector<float> centroids;
    for (const int64_t block :
         sample_distinct_blocks(matrix_.values, matrix_.block_size, options_.num_centroids, options_.seed)) {
      const auto from = matrix_.values.begin() + block * matrix_.block_size;
      centroids.insert(centroids.end(), from, from + matrix_.block_size);
    }
    return centroids;
  }

  // k-means on one random row of each of equal parts of the matrix; nothing when the matrix is too small to
  // gain by it.
  std::vector<float> centroids_of_sample() const {
    constexpr int64_t kBlocksPerCentroid = 64;
    constexpr int64_t kLeastReduction = 8;
    const int64_t num_rows =
        base::ceil_div(kBlocksPerCentroid * options_.num_centroids, matrix_.blocks_per_row());
    if (matrix_.rows < kLeastReduction * num_rows) return {};
    const int64_t part = matrix_.rows / num_rows;
    base::SequentialRandom random(options_.seed, "kmeans.sample");
    std::vector<float> sample(static_cast<size_t>(num_rows * matrix_.cols));
    for (int64_t i = 0; i < num_rows; ++i) {
      const int64_t row = i * part + static_cast<int64_t>(random.below(static_cast<uint64_t>(part)));
      std::copy_n(matrix_.values.begin() + row * matrix_.cols, matrix_.cols,
                  sample.begin() + i * matrix_.cols);
    }
    KMeansOptions options = options_;
    options.iterations = options_.sample_iterations;
    options.sample_iterations = 0;
    KMeans kmeans({sample, num_rows, matrix_.cols, matrix_.block_size}, options, parallel_for_);
    kmeans.run();
    return kmeans.centroids_;
  }

  // Moves every centroid to the mean of its blocks; returns how many empty clusters got a new place.
  int update(const ClusterSums& sums) {
    const auto size = static_cast<size_t>(matrix_.block_size);
    std::vector<size_t> empty;
    std::vector<float> means = centroids_;
    for (size_t c = 0; c < sums.counts.size(); ++c) {
      if (sums.counts[c] == 0) empty.push_back(c);
      for (size_t i = c * size; i < (c + 1) * size; ++i) {
        const double weight = sums.weights.empty() ? static_cast<double>(sums.counts[c]) : sums.weights[i];
        if (weight > 0) means[i] = static_cast<float>(sums.sums[i] / weight);
      }
    }
    const int num_split = empty.empty() ? 0 : fill_empty_clusters(empty, means);
    centroids_ = std::move(means);
    report_.empty_clusters_split += num_split;
    return num_split;
  }

  // Every empty cluster takes over a block that its present centroid serves worst; the blocks are the worst
  // of equal parts of the matrix, distinct, the worst first. Clusters for which no such block is left stay
  // empty.
  int fill_empty_clusters(const std::vector<size_t>& empty, std::vector<float>& means) const {
    struct Candidate {
      double error = 0;
      int64_t block = 0;
    };
    const int64_t num_blocks = matrix_.num_blocks();
    const auto num_empty = static_cast<int64_t>(empty.size());
    const int64_t grain = std::clamp<int64_t>(num_blocks / (4 * num_empty), 1, 8192);
    std::vector<Candidate> candidates(static_cast<size_t>(base::ceil_div(num_blocks, grain)));
    parallel_for_(num_blocks, grain, [&](int64_t begin, int64_t end) {
      Candidate& worst = candidates[static_cast<size_t>(begin / grain)];
      for (int64_t block = begin; block < end; ++block) {
        const double error =
            block_error<0>(matrix_, centroids_, assigner_->codes(), options_.column_weights, block);
        if (error > worst.error) worst = {error, block};
      }
    });
    std::stable_sort(candidates.begin(), candidates.end(),
                     [](const Candidate& a, const Candidate& b) { return a.error > b.error; });
    BlockSet taken(matrix_.values, matrix_.block_size);
    size_t num_filled = 0;
    for (const Candidate& candidate : candidates) {
      if (num_filled == empty.size() || !(candidate.error > 0)) break;
      if (!taken.insert(candidate.block)) continue;
      std::copy_n(matrix_.values.begin() + candidate.block * matrix_.block_size, matrix_.block_size,
                  means.begin() + static_cast<int64_t>(empty[num_filled]) * matrix_.block_size);
      ++num_filled;
    }
    return static_cast<int>(num_filled);
  }

  double objective() const {
    constexpr int64_t kGrain = 8192;
    std::vector<double> partials(static_cast<size_t>(base::ceil_div(matrix_.num_blocks(), kGrain)));
    parallel_for_(matrix_.num_blocks(), kGrain, [&](int64_t begin, int64_t end) {
      const auto error = matrix_.block_size == 8 ? block_error<8> : block_error<0>;
      double sum = 0;
      for (int64_t block = begin; block < end; ++block) {
        sum += error(matrix_, centroids_, assigner_->codes(), options_.column_weights, block);
      }
      partials[static_cast<size_t>(begin / kGrain)] = sum;
    });
    double total = 0;
    for (const double partial : partials) total += partial;
    return total;
  }

  BlockMatrix matrix_;
  const KMeansOptions& options_;
  const base::ParallelFor& parallel_for_;
  std::vector<float> centroids_;
  std::unique_ptr<BlockAssigner> assigner_;
  KMeansReport report_;
};

}  // namespace

ProductMatrix quantize_product(std::span<const float> matrix, int64_t rows, int64_t cols, int block_size,
                               const KMeansOptions& options, const base::ParallelFor& parallel_for,
                               KMeansReport* report) {
  checked_blocks_per_row(cols, block_size);
  check_options(options, cols);
  QN_REQUIRE(rows > 0, ErrorKind::kConfig, "product quantization: found a matrix of ", rows,
             " rows, expected at least one");
  QN_INVARIANT(static_cast<int64_t>(matrix.size()) == rows * cols);
  require_finite(matrix, cols);
  KMeans kmeans({matrix, rows, cols, block_size}, options, parallel_for);
  kmeans.run();
  if (report != nullptr) *report = kmeans.report();
  return kmeans.result();
}

}  // namespace quantnoise::codec
