#include "learn/train/activation_io.h"

#include <set>

#include "quantnoise/base/error.h"
#include "quantnoise/train/model_io.h"

namespace quantnoise::train {
namespace {

std::string state_prefix(const std::string& input) {
  return str_cat(pack::kTrainingPrefix, "activation.", input, "/");
}

pack::ActivationMode file_mode(quant::ActivationMode mode) {
  switch (mode) {
    case quant::ActivationMode::kStatic:
      return pack::ActivationMode::kStatic;
    case quant::ActivationMode::kDynamic:
      return pack::ActivationMode::kDynamic;
    case quant::ActivationMode::kNone:
      break;
  }
  return pack::ActivationMode::kNone;
}

quant::ActivationMode model_mode(pack::ActivationMode mode) {
  switch (mode) {
    case pack::ActivationMode::kStatic:
      return quant::ActivationMode::kStatic;
    case pack::ActivationMode::kDynamic:
      return quant::ActivationMode::kDynamic;
    case pack::ActivationMode::kNone:
      break;
  }
  return quant::ActivationMode::kNone;
}

/// The file's grid of an input: none of its layers has one, or all have the same.
const pack::ActivationGrid* grid_of(const quant::NamedActivation& input,
                                    const pack::Activations& activations) {
  const pack::ActivationGrid* first = nullptr;
  size_t count = 0;
  for (const std::string& layer : input.layers) {
    const auto found = activations.layers.find(layer);
    if (found == activations.layers.end()) continue;
    const pack::ActivationGrid& grid = found->second;
    if (first == nullptr) first = &grid;
    ++count;
    QN_REQUIRE(grid.bits == first->bits && grid.scale == first->scale && grid.zero_point == first->zero_point,
               ErrorKind::kFormat, "activations: ", join(input.layers, ", "),
               " read one input, but the file has several grids for it");
  }
  QN_REQUIRE(count == 0 || count == input.layers.size(), ErrorKind::kFormat,
             "activations: ", join(input.layers, ", "), " read one input, but the file quantizes it for ",
             count, " of them");
  return first;
}

}  // namespace

pack::Activations pack_activations(torch::nn::Module& model) {
  pack::Activations activations;
  for (const quant::NamedActivation& input : quant::named_activations(model)) {
    const quant::ActivationOptions& options = input.quantizer->options();
    const std::optional<codec::AffineGrid> range = input.quantizer->grid();
    if (options.mode == quant::ActivationMode::kNone) continue;
    if (options.mode == quant::ActivationMode::kStatic && !range) continue;
    const pack::ActivationMode mode = file_mode(options.mode);
    QN_REQUIRE(activations.layers.empty() || activations.mode == mode, ErrorKind::kUnsupported,
               "the input of ", input.name,
               " is quantized in another mode than those before: a file has one for all");
    activations.mode = mode;
    pack::ActivationGrid grid;
    grid.bits = options.bits;
    if (range) {
      grid.scale = range->scales[0];
      grid.zero_point = range->zero_points[0];
    }
    for (const std::string& layer : input.layers) activations.layers.emplace(layer, grid);
  }
  return activations;
}

ActivationRestore::ActivationRestore(torch::nn::Module& model, const pack::Activations& activations) {
  std::set<std::string> known;
  for (const quant::NamedActivation& input : quant::named_activations(model)) {
    known.insert(input.layers.begin(), input.layers.end());
    Item item{input.quantizer, {}, {}};
    if (const pack::ActivationGrid* grid = grid_of(input, activations)) {
      item.options.mode = model_mode(activations.mode);
      item.options.bits = grid->bits;
      item.grid = {grid->bits, -1, {grid->scale}, {grid->zero_point}};
    }
    items_.push_back(std::move(item));
  }
  for (const auto& [layer, grid] : activations.layers) {
    QN_REQUIRE(known.contains(layer), ErrorKind::kFormat, "activations: the architecture has no product '",
               layer, "'");
  }
}

void ActivationRestore::apply() const {
  for (const Item& item : items_) {
    item.quantizer->set_options(item.options);
    if (item.options.mode == quant::ActivationMode::kStatic) item.quantizer->set_grid(item.grid);
  }
}

void add_activation_state(pack::ModelFile& file, torch::nn::Module& model) {
  for (const quant::NamedActivation& input : quant::named_activations(model)) {
    for (const auto& [key, tensor] : input.quantizer->training_state()) {
      file.tensors.emplace(state_prefix(input.name) + key, to_raw_tensor(tensor));
    }
  }
}

void load_activation_state(torch::nn::Module& model, const pack::ModelFile& file) {
  for (const quant::NamedActivation& input : quant::named_activations(model)) {
    const std::string prefix = state_prefix(input.name);
    std::map<std::string, at::Tensor> state;
    for (auto item = file.tensors.lower_bound(prefix);
         item != file.tensors.end() && item->first.starts_with(prefix); ++item) {
      state.emplace(item->first.substr(prefix.size()), from_raw_tensor(item->second));
    }
    try {
      if (!state.empty()) input.quantizer->load_training_state(state);
    } catch (Error& error) {
      throw error.in("the input of layer " + input.name);
    }
  }
}

}  // namespace quantnoise::train
