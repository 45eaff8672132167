#pragma once
// Scalar (int-N) quantization of a model's weights in place (the formulas: codec/affine.h).

#include <torch/torch.h>

#include <string>
#include <utility>
#include <vector>

#include "quantnoise/quant/activation.h"
#include "quantnoise/quant/layer_filter.h"
#include "quantnoise/quant/slot.h"

namespace quantnoise::quant {

struct ScalarPlanEntry {
  std::string name;  ///< canonical layer path
  std::vector<std::string> aliases;
  std::string layer_type;
  std::vector<int64_t> shape;
  int64_t bytes_before = 0;
  int64_t bytes_after = 0;
};

struct ScalarPlan {
  ScalarOptions options;
  std::vector<ScalarPlanEntry> layers;
  /// What stays as it is: name (with the scheme, if it is quantized already), bytes.
  std::vector<std::pair<std::string, int64_t>> others;

  std::vector<std::string> names() const;
  /// "int8, histogram".
  std::string scheme_text() const;
  /// A table for people: layer, type, shape, bits, bytes before and after; then what stays.
  std::string text() const;
};

/// All layers the filter means, embeddings and ties too; weights with product codes stay as they are. Errors:
/// kConfig for options out of range, or an include pattern without a match.
ScalarPlan plan_scalar(torch::nn::Module& model, const ScalarOptions& options,
                       const LayerFilter& filter = {});

struct ScalarLayer {
  std::string name;
  int64_t numel = 0;
  double relative_error = 0;  ///< Σ(w − ŵ)² / Σw² on the grid of now
  bool kept_grid = false;     ///< which is the one it had before
};

/// What becomes of a grid that has the bits and channels of the plan already.
enum class FittingGrids { kStay, kAnew };

/// Gives the planned weights their grids, or their new options where they have one already: all of them or,
/// on an error, none. The parameters stay the tensors they are: an optimizer goes on with them. Errors:
/// kNumeric naming the layer for a NaN or infinity.
std::vector<ScalarLayer> quantize_scalar(torch::nn::Module& model, const ScalarPlan& plan,
                                         FittingGrids fitting = FittingGrids::kStay);

/// The rows "layers" of a run: Σ relative_error · numel / Σ numel.
double mean_relative_error(const std::vector<ScalarLayer>& layers);

/// Gives the centroids of every product-quantized weight this type in evaluation and in the file (kF16, kI8).
/// Returns how many weights changed.
int set_centroid_type(torch::nn::Module& model, codec::ScalarType type);

namespace scalar {
/// Inputs of products without a calibration: every row with its own range; quantized in evaluation alone.
inline ActivationOptions dynamic_inputs(int bits = 8) {
  ActivationOptions options;
  options.mode = ActivationMode::kDynamic;
  options.bits = bits;
  return options;
}

/// The reference's entry point: quantizes all weights of the model in place, with noise on elements at rate p
/// in training (in [0, 1]), and the inputs of all products; in eval() everything is quantized. Logs the plan;
/// returns the names of the layers. Static ranges of inputs are to be calibrated (quant/activation.h). All
/// or, on an error, nothing.
std::vector<std::string> quantize_model_(torch::nn::Module& model, double p,
                                         const ScalarOptions& options = {},
                                         const ActivationOptions& inputs = dynamic_inputs());
}  // namespace scalar

}  // namespace quantnoise::quant
