// The plan of a staged product quantization, and its table for people.

#include <algorithm>
#include <iomanip>
#include <regex>
#include <unordered_set>

#include "quantnoise/base/error.h"
#include "quantnoise/codec/bit_pack.h"
#include "quantnoise/codec/packed_weight.h"
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

bool matches(const NamedSlot& slot, const std::regex& pattern) {
  if (std::regex_match(slot.name, pattern)) return true;
  return std::any_of(slot.aliases.begin(), slot.aliases.end(),
                     [&](const std::string& alias) { return std::regex_match(alias, pattern); });
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

PlanEntry make_entry(const NamedSlot& slot, const config::QuantizationConfig& config) {
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
  entry.bytes_before = 4 * matrix.rows * matrix.cols;
  entry.bytes_after = codec::packed_bytes(num_blocks, codec::code_bits_for(entry.num_centroids)) +
                      2 * int64_t{entry.num_centroids} * entry.block_size;
  return entry;
}

std::string shape_text(const std::vector<int64_t>& shape) { return join(shape, " x "); }

// decoder.layers.3.fc1.bias → decoder.layers.*.fc1.bias
std::string without_numbers(const std::string& name) {
  static const std::regex number(R"((^|\.)\d+(?=\.|$))");
  return std::regex_replace(name, number, "$1*");
}

// Columns are as wide as their widest cell; the first is flush left, the others right.
std::string aligned(const std::vector<std::vector<std::string>>& rows) {
  std::vector<size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::ostringstream out;
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) {
      out << (i == 0 ? std::left : std::right) << std::setw(static_cast<int>(widths[i])) << row[i];
      out << (i + 1 < row.size() ? "  " : "\n");
    }
  }
  return out.str();
}

std::vector<std::pair<std::string, int64_t>> list_dense(
    const torch::nn::Module& model, const std::unordered_set<const at::TensorImpl*>& quantized) {
  std::vector<std::pair<std::string, int64_t>> dense;
  for (const NamedParameter& parameter : unique_parameters(model)) {
    if (quantized.count(parameter.tensor.unsafeGetTensorImpl()) > 0) continue;
    dense.emplace_back(parameter.name, 4 * parameter.tensor.numel());
  }
  return dense;
}

}  // namespace

Plan plan_pq(torch::nn::Module& model, const config::QuantizationConfig& config) {
  const std::vector<NamedSlot> slots = named_slots(model);
  std::unordered_set<const at::TensorImpl*> quantized;
  for (const NamedSlot& slot : slots) {
    const Representation& representation = slot.slot->representation();
    if (representation.scheme() != "dense")
      quantized.insert(representation.parameter().unsafeGetTensorImpl());
  }
  Plan plan;
  for (size_t stage = 0; stage < config.layers_to_quantize.size(); ++stage) {
    const std::string& pattern = config.layers_to_quantize[stage];
    const std::regex compiled = compile(pattern);
    std::vector<PlanEntry>& entries = plan.stages.emplace_back();
    bool matched = false;
    for (const NamedSlot& slot : slots) {
      if (!matches(slot, compiled)) continue;
      matched = true;
      const bool is_new =
          quantized.insert(slot.slot->representation().parameter().unsafeGetTensorImpl()).second;
      if (is_new) entries.push_back(make_entry(slot, config));
    }
    if (!matched) fail_without_match(pattern, stage, slots);
  }
  plan.dense = list_dense(model, quantized);
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
      std::string name = "  " + entry.name;
      for (const std::string& alias : entry.aliases) name += " = " + alias;
      rows.push_back({name, entry.layer_type, shape_text(entry.shape), std::to_string(entry.block_size),
                      std::to_string(entry.num_centroids), std::to_string(entry.bytes_before),
                      std::to_string(entry.bytes_after)});
      before += entry.bytes_before;
      after += entry.bytes_after;
    }
  }
  rows.push_back({"quantized", "", "", "", "", std::to_string(before), std::to_string(after)});

  // Layers that differ in their numbers alone share a line.
  std::vector<std::pair<std::string, std::pair<int64_t, int64_t>>> groups;
  int64_t dense_bytes = 0;
  for (const auto& [name, bytes] : dense) {
    const std::string key = without_numbers(name);
    auto group = std::find_if(groups.begin(), groups.end(), [&](const auto& g) { return g.first == key; });
    if (group == groups.end()) group = groups.insert(groups.end(), {key, {0, 0}});
    ++group->second.first;
    group->second.second += bytes;
    dense_bytes += bytes;
  }
  rows.push_back({"stays dense:"});
  for (const auto& [name, group] : groups) {
    const std::string count = group.first > 1 ? str_cat(group.first, " tensors") : "";
    rows.push_back(
        {"  " + name, "", count, "", "", std::to_string(group.second), std::to_string(group.second)});
  }
  rows.push_back(
      {"all", "", "", "", "", std::to_string(before + dense_bytes), std::to_string(after + dense_bytes)});
  return aligned(rows);
}

}  // namespace quantnoise::quant
