#include "core/codec/centroid_groups.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/codec/blocks.h"

namespace quantnoise::codec {

namespace {

constexpr int kCentroidsPerGroup = 32;
constexpr int kGroupingRounds = 5;
constexpr size_t kGroupMultiple = 4;

double squared_distance(const float* a, const float* b, int block_size) {
  double sum = 0;
  for (int j = 0; j < block_size; ++j) {
    const double difference = double{a[j]} - double{b[j]};
    sum += difference * difference;
  }
  return sum;
}

// Group of every centroid. Quality matters for speed only, so plain Lloyd rounds from evenly spaced centroids
// do.
std::vector<uint16_t> find_groups(std::span<const float> centroids, int block_size, int num_groups) {
  const auto size = static_cast<size_t>(block_size);
  const size_t num_centroids = centroids.size() / size;
  std::vector<uint16_t> group_of(num_centroids);
  std::vector<float> centers(static_cast<size_t>(num_groups) * size);
  for (size_t g = 0; g < static_cast<size_t>(num_groups); ++g) {
    const size_t from = g * num_centroids / static_cast<size_t>(num_groups);
    std::copy_n(centroids.begin() + static_cast<int64_t>(from * size), size,
                centers.begin() + static_cast<int64_t>(g * size));
  }
  for (int round = 0; round < kGroupingRounds; ++round) {
    std::vector<double> sums(centers.size());
    std::vector<int> counts(static_cast<size_t>(num_groups));
    for (size_t c = 0; c < num_centroids; ++c) {
      const float* centroid = centroids.data() + c * size;
      double nearest = std::numeric_limits<double>::infinity();
      for (size_t g = 0; g < counts.size(); ++g) {
        const double distance = squared_distance(centroid, centers.data() + g * size, block_size);
        if (distance < nearest) {
          nearest = distance;
          group_of[c] = static_cast<uint16_t>(g);
        }
      }
      for (size_t j = 0; j < size; ++j) sums[group_of[c] * size + j] += centroid[j];
      ++counts[group_of[c]];
    }
    for (size_t i = 0; i < centers.size(); ++i) {
      if (counts[i / size] > 0) centers[i] = static_cast<float>(sums[i] / counts[i / size]);
    }
  }
  return group_of;
}

}  // namespace

CentroidGroups::CentroidGroups(std::span<const float> centroids, int block_size) : block_size_(block_size) {
  const int num_centroids = static_cast<int>(centroids.size()) / block_size;
  const int num_groups = std::clamp(num_centroids / kCentroidsPerGroup, 1, kMostGroups);
  group_of_ = find_groups(centroids, block_size, num_groups);
  group_begin_.push_back(0);
  for (int group = 0; group < num_groups; ++group) {
    const size_t before = numbers_.size();
    for (int c = 0; c < num_centroids; ++c) {
      if (group_of_[static_cast<size_t>(c)] == group) numbers_.push_back(static_cast<uint16_t>(c));
    }
    // An empty group would only cost time: later groups move up.
    if (numbers_.size() == before) continue;
    const auto position = static_cast<uint16_t>(group_begin_.size() - 1);
    for (size_t i = before; i < numbers_.size(); ++i) group_of_[numbers_[i]] = position;
    is_filler_.resize(numbers_.size(), false);
    while (numbers_.size() % kGroupMultiple != 0) numbers_.push_back(numbers_.back());
    is_filler_.resize(numbers_.size(), true);
    group_begin_.push_back(static_cast<int>(numbers_.size()));
  }
  exact_drift_.resize(group_begin_.size() - 1);
  total_drift_.resize(group_begin_.size() - 1);
  ordered_.resize(numbers_.size() * static_cast<size_t>(block_size));
  store_ordered(centroids);
}

void CentroidGroups::move_to(std::span<const float> centroids) {
  for (int group = 0; group < num_groups(); ++group) {
    double farthest = 0;
    for (int i = 0; i < group_size(group); ++i) {
      const float* after = centroids.data() + int64_t{numbers(group)[i]} * block_size_;
      const float* before = this->centroids(group) + int64_t{i} * block_size_;
      farthest = std::max(farthest, squared_distance(before, after, block_size_));
    }
    double& total = exact_drift_[static_cast<size_t>(group)];
    total += std::sqrt(farthest) * (1 + 1e-9);
    total_drift_[static_cast<size_t>(group)] = static_cast<float>(total * (1 + 1e-6));
  }
  store_ordered(centroids);
}

void CentroidGroups::store_ordered(std::span<const float> centroids) {
  for (size_t i = 0; i < numbers_.size(); ++i) {
    const float* from = centroids.data() + int64_t{numbers_[i]} * block_size_;
    std::copy_n(from, block_size_, ordered_.begin() + static_cast<int64_t>(i) * block_size_);
  }
  ordered_half_norms_ = half_squared_norms(ordered_, block_size_);
  largest_squared_norm_ = 2 * *std::max_element(ordered_half_norms_.begin(), ordered_half_norms_.end());
  for (size_t i = 0; i < numbers_.size(); ++i) {
    if (is_filler_[i]) ordered_half_norms_[i] = std::numeric_limits<float>::infinity();
  }
}

}  // namespace quantnoise::codec
