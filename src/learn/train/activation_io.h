#pragma once
// Between the quantized inputs of a model and a file.

#include <memory>
#include <vector>

#include "quantnoise/pack/model_file.h"
#include "quantnoise/quant/activation.h"

namespace quantnoise::train {

/// What evaluation does with the model's inputs, layer by layer; a static input without a range is left out.
/// Errors: kUnsupported for static beside dynamic inputs: a file has one mode.
pack::Activations pack_activations(torch::nn::Module& model);

/// A file's activations, checked against a model before it is touched.
class ActivationRestore {
 public:
  /// Errors: kFormat for layers the model has not, or whose one input has several grids.
  ActivationRestore(torch::nn::Module& model, const pack::Activations& activations);
  /// Quantizes exactly these inputs; ranges are the file's, and training makes no noise.
  void apply() const;

 private:
  struct Item {
    std::shared_ptr<quant::ActivationQuantizer> quantizer;
    quant::ActivationOptions options;
    codec::AffineGrid grid;
  };
  std::vector<Item> items_;
};

/// Ranges and observers for a checkpoint, and back. Errors: kFormat.
void add_activation_state(pack::ModelFile& file, torch::nn::Module& model);
void load_activation_state(torch::nn::Module& model, const pack::ModelFile& file);

}  // namespace quantnoise::train
