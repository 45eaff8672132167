#pragma once
// Iterative product quantization by stages: plan, then exchange the slots' representations.

#include <torch/torch.h>

#include <string>
#include <vector>

#include "quantnoise/codec/product.h"
#include "quantnoise/codec/size.h"
#include "quantnoise/config/yaml.h"
#include "quantnoise/quant/slot.h"

namespace quantnoise::quant {

struct PqOptions {
  int iterations = 20;
  uint64_t seed = 1;
  codec::CentroidGradient gradient = codec::CentroidGradient::kSum;
  codec::ScalarType centroid_type = codec::ScalarType::kF16;  ///< in evaluation and the file: kF16 or kI8
};

struct PlanEntry {
  std::string name;  ///< canonical layer path
  std::vector<std::string> aliases;
  std::string layer_type;
  std::vector<int64_t> shape;
  int block_size = 0;
  int num_centroids = 0;
  int64_t bytes_before = 0;
  int64_t bytes_after = 0;
};

struct Plan {
  std::vector<std::vector<PlanEntry>> stages;
  /// What stays as it is: name (with the scheme, if it is quantized already), bytes.
  std::vector<std::pair<std::string, int64_t>> others;
  /// A table for people: layer, shape, block size, centroids, bytes before and after; then what stays.
  std::string text() const;
};

/// Matches every stage's regexes in full against layer paths (aliases too) and reads block sizes and
/// centroids from the configuration. A layer belongs to the first stage that matches it; layers with product
/// codes are not planned again (int-N weights are). Errors: kConfig for a pattern without match (nearest
/// names; doubled backslashes are named as the likely cause), for a block size that does not divide (layer
/// named).
Plan plan_pq(torch::nn::Module& model, const config::QuantizationConfig& config,
             codec::ScalarType centroid_type = codec::ScalarType::kF16);

struct QuantizedLayer {
  std::string name;
  int64_t numel = 0;
  int block_size = 0;
  codec::KMeansReport report;
  double relative_error = 0;  ///< Σ(w − ŵ)² / Σw²
};

/// Quantizes one stage of the plan in place, from the stored fp32 weights: all its layers or, on an error,
/// none. Padding rows take no part. Logs a line a layer.
std::vector<QuantizedLayer> quantize_stage(torch::nn::Module& model, const std::vector<PlanEntry>& stage,
                                           const PqOptions& options);

namespace pq {
/// The reference's entry point: quantizes the layers of stage `step` and returns their names.
std::vector<std::string> quantize_model_(torch::nn::Module& model, codec::SizeTracker& size_tracker,
                                         const config::QuantizationConfig& config, int step,
                                         const PqOptions& options = {});
}  // namespace pq

}  // namespace quantnoise::quant
