#pragma once
// The codebook of `pq-exact` noise: k-means centroids that are refreshed by the update count, and the codes
// of the weight as it is now.

#include <torch/torch.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "quantnoise/quant/representation.h"

namespace quantnoise::quant {

class NoiseCodebook {
 public:
  /// Brings centroids and codes up to date for this use. weight: (rows, cols) fp32, contiguous, CPU.
  void update(const at::Tensor& weight, const MatrixShape& matrix, const WeightUse& use);

  const std::vector<float>& centroids() const { return centroids_; }
  const std::vector<uint16_t>& codes() const { return codes_; }

  /// Centroids and their refresh; the codes follow from them and the weight.
  void save(std::map<std::string, at::Tensor>& state) const;
  void load(const std::map<std::string, at::Tensor>& state);

 private:
  std::vector<float> centroids_;
  std::vector<uint16_t> codes_;
  int block_size_ = 0;
  int64_t refresh_ = -1;  // update / refresh_interval of the last k-means; −1: none yet
  bool assigned_ = false;
  uint64_t assigned_update_ = 0;
  uint32_t assigned_version_ = 0;
};

}  // namespace quantnoise::quant
