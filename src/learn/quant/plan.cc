// The plan of a staged product quantization, and its table for people.

#include <algorithm>
#include <regex>
#include <unordered_set>

#include "learn/quant/plan_table.h"
#include "quantnoise/base/error.h"
#include "quantnoise/codec/packed_weight.h"
#include "quantnoise/quant/layer_filter.h"
#include "quantnoise/quant/pq.h"

namespace quantnoise::quant {

namespace {

std::regex compile(const std::string& pattern) {
  try {
    return std::regex(pattern, std::regex::ECMAScript);
  } catch (const std::regex_error& error) {
    throw Error(ErrorKind::kConfig, str_cat("'", pattern, "' is not a regular expression: ", error.what()));
  }
}

[[noreturn]] void fail_without_match(const std::string& pattern, size_t stage,
                                     const std::vector<NamedSlot>& slots) {
  // The pattern as if it were a name: what it was meant to match is nearest to that.
  std::string plain = pattern;
  std::erase_if(plain,
                [](char c) { return std::string_view("\\^$()[]{}|*+?").find(c) != std::string_view::npos; });
  std::vector<std::string> names;
  for (const NamedSlot& slot : slots) {
    names.push_back(slot.name);
    names.insert(names.end(), slot.aliases.begin(), slot.aliases.end());
  }
  std::vector<std::string> nearest = nearest_names(plain, names);
  if (nearest.empty()) nearest.assign(names.begin(), names.begin() + std::min<size_t>(3, names.size()));
  std::string hint;
  if (pattern.find("\\\\") != std::string::npos) {
    hint = "its backslashes are doubled; in a YAML value without double quotes one is enough: \\. and \\d";
  }
  throw Error(ErrorKind::kConfig,
              str_cat("stage ", stage + 1, ": the pattern '", pattern, "' matches no layer; nearest names: ",
                      nearest.empty() ? "the model has no layer to quantize" : join(nearest, ", ")),
              hint);
}

PlanEntry make_entry(const NamedSlot& slot, const config::QuantizationConfig& config,
                     codec::ScalarType centroid_type) {
  PlanEntry entry;
  entry.name = slot.name;
  entry.aliases = slot.aliases;
  entry.layer_type = slot.owner->layer_type();
  entry.shape = slot.slot->representation().shape();
  const auto attributes = slot.owner->attributes();
  entry.block_size = config::lookup(config.block_sizes, entry.layer_type, entry.name, attributes);
  const int centroids = config::lookup(config.n_centroids, entry.layer_type, entry.name, attributes);
  const MatrixShape matrix = matrix_shape(entry.shape);
  QN_REQUIRE(entry.block_size > 0 && matrix.cols % entry.block_size == 0, ErrorKind::kConfig, "layer ",
             entry.name, ": found block size ", entry.block_size, ", expected a divisor of its ", matrix.cols,
             " columns");
  const int64_t num_blocks = matrix.rows * matrix.cols / entry.block_size;
  entry.num_centroids = static_cast<int>(std::min<int64_t>(centroids, num_blocks));
  entry.bytes_before = slot.slot->representation().stored_bytes();
  codec::PackedWeight packed;
  packed.scheme = codec::Scheme::kProduct;
  packed.shape = entry.shape;
  packed.block_size = entry.block_size;
  packed.num_centroids = entry.num_centroids;
  packed.code_bits = codec::code_bits_for(entry.num_centroids);
  packed.centroid_type = centroid_type;
  entry.bytes_after = packed.stored_bytes();
  return entry;
}

}  // namespace

Plan plan_pq(torch::nn::Module& model, const config::QuantizationConfig& config,
             codec::ScalarType centroid_type) {
  const std::vector<NamedSlot> slots = named_slots(model);
  std::unordered_set<const at::TensorImpl*> quantized;
  for (const NamedSlot& slot : slots) {
    const Representation& representation = slot.slot->representation();
    if (!holds_weight(representation)) quantized.insert(representation.parameter().unsafeGetTensorImpl());
  }
  Plan plan;
  for (size_t stage = 0; stage < config.layers_to_quantize.size(); ++stage) {
    const std::string& pattern = config.layers_to_quantize[stage];
    const std::regex compiled = compile(pattern);
    std::vector<PlanEntry>& entries = plan.stages.emplace_back();
    bool matched = false;
    for (const NamedSlot& slot : slots) {
      if (!matches_path(slot, compiled)) continue;
      matched = true;
      const bool is_new =
          quantized.insert(slot.slot->representation().parameter().unsafeGetTensorImpl()).second;
      if (is_new) entries.push_back(make_entry(slot, config, centroid_type));
    }
    if (!matched) fail_without_match(pattern, stage, slots);
  }
  plan.others = list_others(model, quantized);
  return plan;
}

std::string Plan::text() const {
  std::vector<std::vector<std::string>> rows = {
      {"layer", "type", "shape", "block", "centroids", "bytes before", "bytes after"}};
  int64_t before = 0;
  int64_t after = 0;
  for (size_t stage = 0; stage < stages.size(); ++stage) {
    rows.push_back({str_cat("stage ", stage + 1, ": ", stages[stage].size(), " layers")});
    for (const PlanEntry& entry : stages[stage]) {
      const std::string name = "  " + tied_names(entry.name, entry.aliases);
      rows.push_back({name, entry.layer_type, shape_text(entry.shape), std::to_string(entry.block_size),
                      std::to_string(entry.num_centroids), std::to_string(entry.bytes_before),
                      std::to_string(entry.bytes_after)});
      before += entry.bytes_before;
      after += entry.bytes_after;
    }
  }
  rows.push_back({"quantized", "", "", "", "", std::to_string(before), std::to_string(after)});

  rows.push_back({"stays as it is:"});
  const int64_t rest = append_others(others, rows.front().size(), rows);
  rows.push_back({"all", "", "", "", "", std::to_string(before + rest), std::to_string(after + rest)});
  return aligned(rows);
}

}  // namespace quantnoise::quant
