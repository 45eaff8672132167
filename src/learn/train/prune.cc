#include "quantnoise/train/prune.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "learn/train/checkpoint.h"
#include "quantnoise/base/error.h"

namespace quantnoise::train {
namespace {

constexpr std::string_view kLayers = "decoder.layers.";

/// The number of the layer a name belongs to, and where the number ends; nothing for other names.
std::optional<std::pair<int64_t, size_t>> layer_of(const std::string& name) {
  if (!name.starts_with(kLayers)) return std::nullopt;
  const size_t end = name.find('.', kLayers.size());
  if (end == std::string::npos) return std::nullopt;
  int64_t number = 0;
  for (size_t i = kLayers.size(); i < end; ++i) {
    if (name[i] < '0' || name[i] > '9' || number > 1'000'000) return std::nullopt;
    number = 10 * number + (name[i] - '0');
  }
  return std::pair(number, end);
}

/// Names before and after.
class Renaming {
 public:
  explicit Renaming(const std::vector<int64_t>& kept) {
    for (size_t i = 0; i < kept.size(); ++i) new_number_[kept[i]] = i;
  }
  /// Nothing for a name of a layer that goes.
  std::optional<std::string> operator()(const std::string& name) const {
    const auto layer = layer_of(name);
    if (!layer) return name;
    const auto found = new_number_.find(layer->first);
    if (found == new_number_.end()) return std::nullopt;
    return str_cat(kLayers, found->second, name.substr(layer->second));
  }
  template <typename Value>
  void apply(std::map<std::string, Value>& named) const {
    std::map<std::string, Value> renamed;
    for (auto& [name, value] : named) {
      if (const auto next = (*this)(name)) renamed.emplace(*next, std::move(value));
    }
    named = std::move(renamed);
  }

 private:
  std::map<int64_t, size_t> new_number_;
};

}  // namespace

std::vector<int64_t> checked_layers(std::vector<int64_t> layers, int64_t num_layers) {
  std::sort(layers.begin(), layers.end());
  QN_REQUIRE(!layers.empty(), ErrorKind::kConfig, "--", kLayersToKeep,
             ": found no number, expected some of 0 to ", num_layers - 1);
  for (size_t i = 0; i < layers.size(); ++i) {
    QN_REQUIRE(layers[i] >= 0 && layers[i] < num_layers, ErrorKind::kConfig, "--", kLayersToKeep, ": found ",
               layers[i], ", expected numbers from 0 to ", num_layers - 1);
    QN_REQUIRE(i == 0 || layers[i] != layers[i - 1], ErrorKind::kConfig, "--", kLayersToKeep, ": found ",
               layers[i], " twice");
  }
  return layers;
}

void keep_decoder_layers(pack::ModelFile& file, const std::vector<int64_t>& layers) {
  auto options = nlohmann::ordered_json::parse(file.options_json, nullptr, /*allow_exceptions=*/false);
  QN_REQUIRE(options.is_object() && options.contains("decoder_layers") &&
                 options["decoder_layers"].is_number_integer(),
             ErrorKind::kFormat, "the model's options name no decoder_layers");
  const nlohmann::ordered_json share_layers = options.value("share_layers", nlohmann::ordered_json(1));
  QN_REQUIRE(share_layers.is_number_integer() && share_layers.get<int64_t>() > 0, ErrorKind::kFormat,
             "share_layers: found ", share_layers.dump(), ", expected a number from 1 on");
  const auto share = share_layers.get<int64_t>();
  const auto kept = checked_layers(layers, options["decoder_layers"].get<int64_t>() / share);
  remove_training_state(file);
  const Renaming renaming(kept);
  renaming.apply(file.weights);
  renaming.apply(file.tensors);
  renaming.apply(file.ties);
  renaming.apply(file.activations.layers);
  if (file.activations.layers.empty()) file.activations.mode = pack::ActivationMode::kNone;
  for (auto& [alias, name] : file.ties) {
    const auto next = renaming(name);
    QN_REQUIRE(next.has_value(), ErrorKind::kConfig, "--", kLayersToKeep, ": '", alias,
               "' shares the weight of a layer that goes, '", name, "'");
    name = *next;
  }
  auto history = nlohmann::ordered_json::parse(file.history_json, nullptr, /*allow_exceptions=*/false);
  if (history.is_object()) {
    history["layers_kept"] = kept;
    file.history_json = history.dump();
  }
  options["decoder_layers"] = static_cast<int64_t>(kept.size()) * share;
  file.options_json = options.dump();
}

}  // namespace quantnoise::train
