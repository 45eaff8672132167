#pragma once
// Centroids in groups of neighbours, stored group by group, and how far each group has moved since the start.

#include <cstdint>
#include <span>
#include <vector>

namespace quantnoise::codec {

class CentroidGroups {
 public:
  static constexpr int kMostGroups = 16;

  /// Groups the centroids, shape (num_centroids, block_size), by a few rounds of k-means among themselves.
  CentroidGroups(std::span<const float> centroids, int block_size);

  /// Takes the centroids' new places; total_drift() grows by the farthest move in each group.
  void move_to(std::span<const float> centroids);

  int num_groups() const { return static_cast<int>(group_begin_.size()) - 1; }
  /// Centroids of a group, (group_size, block_size), in rising order of their numbers. A group ends with up
  /// to three centroids of infinite norm, which are never nearest: kernels take four at a time.
  const float* centroids(int group) const {
    return ordered_.data() + group_begin_[static_cast<size_t>(group)] * block_size_;
  }
  const float* half_norms(int group) const {
    return ordered_half_norms_.data() + group_begin_[static_cast<size_t>(group)];
  }
  int group_size(int group) const {
    return group_begin_[static_cast<size_t>(group) + 1] - group_begin_[static_cast<size_t>(group)];
  }
  /// Numbers of the group's centroids.
  const uint16_t* numbers(int group) const {
    return numbers_.data() + group_begin_[static_cast<size_t>(group)];
  }
  int group_of(uint16_t centroid) const { return group_of_[centroid]; }
  /// Upper bound of how far any centroid of the group has moved since the start.
  float total_drift(int group) const { return total_drift_[static_cast<size_t>(group)]; }
  float largest_squared_norm() const { return largest_squared_norm_; }

 private:
  void store_ordered(std::span<const float> centroids);

  int block_size_;
  std::vector<int> group_begin_;
  std::vector<uint16_t> numbers_;  // by place in the order of groups
  std::vector<bool> is_filler_;    // by place
  std::vector<uint16_t> group_of_;
  std::vector<float> ordered_;
  std::vector<float> ordered_half_norms_;
  std::vector<double> exact_drift_;
  std::vector<float> total_drift_;
  float largest_squared_norm_ = 0;
};

}  // namespace quantnoise::codec
