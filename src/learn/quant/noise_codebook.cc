#include "learn/quant/noise_codebook.h"

#include <algorithm>
#include <span>

#include "quantnoise/base/error.h"
#include "quantnoise/quant/context.h"

namespace quantnoise::quant {

namespace {

constexpr const char* kCentroidsKey = "noise_centroids";
constexpr const char* kRefreshKey = "noise_refresh";

}  // namespace

void NoiseCodebook::update(const at::Tensor& weight, const MatrixShape& matrix, const WeightUse& use) {
  const std::span<const float> values(weight.const_data_ptr<float>(), static_cast<size_t>(weight.numel()));
  const NoiseOptions& noise = use.noise;
  const auto refresh = static_cast<int64_t>(use.update / static_cast<uint64_t>(noise.refresh_interval));
  const auto version = static_cast<uint32_t>(weight._version());
  if (refresh != refresh_ || block_size_ != noise.block_size) {
    codec::KMeansOptions options;
    options.num_centroids = noise.num_centroids;
    options.iterations = noise.kmeans_iterations;
    options.seed =
        base::mix64((uint64_t{use.stream.key[1]} << 32 | use.stream.key[0]) + static_cast<uint64_t>(refresh));
    codec::ProductMatrix product = codec::quantize_product(values, matrix.rows, matrix.cols, noise.block_size,
                                                           options, torch_parallel_for());
    centroids_ = std::move(product.centroids);
    codes_ = std::move(product.codes);
    block_size_ = noise.block_size;
    refresh_ = refresh;
  } else if (!assigned_ || assigned_update_ != use.update || assigned_version_ != version) {
    codes_.resize(values.size() / static_cast<size_t>(block_size_));
    codec::assign_blocks(values, matrix.rows, matrix.cols, block_size_, centroids_,
                         static_cast<int>(centroids_.size() / static_cast<size_t>(block_size_)), codes_,
                         torch_parallel_for());
  }
  assigned_ = true;
  assigned_update_ = use.update;
  assigned_version_ = version;
}

void NoiseCodebook::save(std::map<std::string, at::Tensor>& state) const {
  if (refresh_ < 0) return;
  const auto num_centroids = static_cast<int64_t>(centroids_.size()) / block_size_;
  at::Tensor centroids = at::empty({num_centroids, block_size_}, at::kFloat);
  std::copy(centroids_.begin(), centroids_.end(), centroids.mutable_data_ptr<float>());
  state[kCentroidsKey] = centroids;
  state[kRefreshKey] = at::full({1}, refresh_, at::kLong);
}

void NoiseCodebook::load(const std::map<std::string, at::Tensor>& state) {
  const auto centroids = state.find(kCentroidsKey);
  const auto refresh = state.find(kRefreshKey);
  if (centroids == state.end() && refresh == state.end()) {
    *this = NoiseCodebook();
    return;
  }
  QN_REQUIRE(centroids != state.end() && refresh != state.end(), ErrorKind::kFormat,
             "noise state: found one of ", kCentroidsKey, " and ", kRefreshKey, ", expected both");
  const at::Tensor values = centroids->second.to(at::kCPU, at::kFloat).contiguous();
  QN_REQUIRE(values.dim() == 2 && values.numel() > 0 && refresh->second.numel() == 1, ErrorKind::kFormat,
             "noise state: ", kCentroidsKey, " has shape ", values.sizes(), ", expected two dimensions");
  const float* first = values.const_data_ptr<float>();
  centroids_.assign(first, first + values.numel());
  block_size_ = static_cast<int>(values.size(1));
  refresh_ = refresh->second.item<int64_t>();
  assigned_ = false;
}

}  // namespace quantnoise::quant
