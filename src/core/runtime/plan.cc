#include "core/runtime/plan.h"

#include <utility>

#include "quantnoise/base/error.h"

namespace quantnoise::runtime {

namespace {

std::string weight_name(const std::string& layer) { return layer + ".weight"; }

std::string type_name(codec::ScalarType type) {
  return type == codec::ScalarType::kF16 ? "fp16" : type == codec::ScalarType::kBF16 ? "bf16" : "fp32";
}

std::string scheme_name(const codec::PackedWeight& weight) {
  if (weight.scheme == codec::Scheme::kDense) return type_name(weight.dense_type);
  if (weight.scheme == codec::Scheme::kAffine) return str_cat("int", weight.code_bits);
  const char* centroids = weight.centroid_type == codec::ScalarType::kI8 ? ", int8" : "";
  return str_cat("pq ", weight.num_centroids, " x ", weight.block_size, centroids);
}

std::string input_name(const InputQuantization& input) {
  if (input.mode == pack::ActivationMode::kNone) return "";
  return str_cat("int", input.grid.bits,
                 input.mode == pack::ActivationMode::kStatic ? " static" : " dynamic");
}

// "a, b, c and 12 more".
std::string short_list(const std::vector<std::string>& names) {
  constexpr size_t kShown = 4;
  if (names.size() <= kShown) return join(names, ", ");
  const std::vector<std::string> shown(names.begin(), names.begin() + kShown);
  return str_cat(join(shown, ", "), " and ", names.size() - kShown, " more");
}

void refuse_unused(const char* what, const std::vector<std::string>& names, const std::string& family) {
  QN_REQUIRE(names.empty(), ErrorKind::kFormat, what, " that ", family,
             " does not know: ", short_list(names));
}

}  // namespace

const codec::PackedWeight& Plan::find_weight(const std::string& layer, int64_t rows, int64_t cols,
                                             const std::string& tied_to) {
  const std::string name = weight_name(layer);
  std::string canonical = name;
  const auto tie = file_.ties.find(name);
  if (tied_to.empty()) {
    QN_REQUIRE(tie == file_.ties.end(), ErrorKind::kFormat, "the file ties ", name, " to ", tie->second,
               ", the architecture does not");
  } else {
    canonical = weight_name(tied_to);
    QN_REQUIRE(tie != file_.ties.end() && tie->second == canonical, ErrorKind::kFormat,
               "the architecture ties ", name, " to ", canonical, ", the file does not");
    used_.insert(name);
  }
  const auto found = file_.weights.find(canonical);
  QN_REQUIRE(found != file_.weights.end(), ErrorKind::kFormat, "the weight ", canonical, " is missing");
  const codec::PackedWeight& weight = found->second;
  QN_REQUIRE(weight.shape == (std::vector<int64_t>{rows, cols}), ErrorKind::kFormat, canonical,
             ": found shape (", join(weight.shape, ", "), "), expected (", rows, ", ", cols, ")");
  used_.insert(canonical);
  return weight;
}

std::shared_ptr<const FloatVector> Plan::vector(const std::string& name, int64_t count) {
  const auto found = file_.tensors.find(name);
  QN_REQUIRE(found != file_.tensors.end(), ErrorKind::kFormat, "the tensor ", name, " is missing");
  used_.insert(name);
  try {
    return std::make_shared<const FloatVector>(found->second, count);
  } catch (Error& error) {
    throw error.in(name);
  }
}

InputQuantization Plan::input_of(const std::string& layer) {
  const pack::Activations& activations = file_.activations;
  const auto found = activations.layers.find(layer);
  if (activations.mode == pack::ActivationMode::kNone || found == activations.layers.end())
    return {pack::ActivationMode::kNone, {}, layer};
  quantized_inputs_.insert(layer);
  const pack::ActivationGrid& grid = found->second;
  return {activations.mode, {grid.bits, -1, {grid.scale}, {grid.zero_point}}, layer};
}

LayerReport& Plan::report(const std::string& layer, const std::string& kind,
                          const codec::PackedWeight& weight, const std::string& tied_to) {
  LayerReport report;
  report.name = layer;
  report.kind = kind;
  report.scheme = scheme_name(weight);
  report.tied_to = tied_to;
  report.rows = weight.rows();
  report.cols = weight.cols();
  report.weight_bytes = weight.stored_bytes();
  report.stored_bytes = tied_to.empty() ? weight.stored_bytes() : 0;
  return reports_.emplace_back(std::move(report));
}

Linear Plan::linear(const std::string& layer, int64_t in, int64_t out, Bias bias,
                    const std::string& tied_to) {
  const codec::PackedWeight& weight = find_weight(layer, out, in, tied_to);
  LayerReport& made = report(layer, "linear", weight, tied_to);
  std::shared_ptr<const Matrix>& matrix = matrices_[weight_name(tied_to.empty() ? layer : tied_to)];
  try {
    if (matrix == nullptr) {
      matrix = make_matrix(weight);
      made.owned_bytes = matrix->owned_bytes();
    }
    made.matrix = matrix;
    InputQuantization input = input_of(layer);
    made.input = input_name(input);
    std::shared_ptr<const FloatVector> values = bias == Bias::kYes ? vector(layer + ".bias", out) : nullptr;
    if (values != nullptr) made.owned_bytes += values->owned_bytes();
    return {matrix, weight.stored_bytes(), std::move(values), std::move(input)};
  } catch (Error& error) {
    throw error.in(layer);
  }
}

TransposedLinear Plan::transposed_linear(const std::string& layer, int64_t in, int64_t out,
                                         const std::string& tied_to) {
  const codec::PackedWeight& weight = find_weight(layer, in, out, tied_to);
  InputQuantization input = input_of(layer);
  LayerReport& made = report(layer, "linear, transposed", weight, tied_to);
  made.input = input_name(input);
  auto rows = std::make_shared<const WeightRows>(weight);
  made.owned_bytes = rows->owned_bytes();
  return {std::move(rows), std::move(input)};
}

Embedding Plan::embedding(const std::string& layer, int64_t rows, int64_t dim) {
  const codec::PackedWeight& weight = find_weight(layer, rows, dim, "");
  LayerReport& made = report(layer, "embedding", weight, "");
  try {
    auto table = std::make_shared<const WeightRows>(weight);
    made.owned_bytes = table->owned_bytes();
    return Embedding(std::move(table));
  } catch (Error& error) {
    throw error.in(layer);
  }
}

LayerNorm Plan::layer_norm(const std::string& layer, int64_t dim) {
  return {vector(layer + ".weight", dim), vector(layer + ".bias", dim)};
}

std::vector<LayerReport> Plan::finish() {
  std::vector<std::string> weights, tensors, ties, inputs;
  for (const auto& [name, weight] : file_.weights) {
    if (!used_.contains(name)) weights.push_back(name);
  }
  for (const auto& [name, tensor] : file_.tensors) {
    if (!used_.contains(name) && !name.starts_with(pack::kTrainingPrefix)) tensors.push_back(name);
  }
  for (const auto& [alias, canonical] : file_.ties) {
    if (!used_.contains(alias)) ties.push_back(alias);
  }
  for (const auto& [layer, grid] : file_.activations.layers) {
    if (!quantized_inputs_.contains(layer)) inputs.push_back(layer);
  }
  refuse_unused("weights", weights, file_.architecture);
  refuse_unused("tensors", tensors, file_.architecture);
  refuse_unused("ties", ties, file_.architecture);
  refuse_unused("quantized inputs of layers", inputs, file_.architecture);
  return std::move(reports_);
}

}  // namespace quantnoise::runtime
