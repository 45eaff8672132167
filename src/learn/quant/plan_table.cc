#include "learn/quant/plan_table.h"

#include <algorithm>
#include <iomanip>
#include <regex>
#include <sstream>
#include <unordered_map>

#include "quantnoise/base/error.h"

namespace quantnoise::quant {

namespace {

// decoder.layers.3.fc1.bias → decoder.layers.*.fc1.bias
std::string without_numbers(const std::string& name) {
  static const std::regex number(R"((^|\.)\d+(?=\.|$))");
  return std::regex_replace(name, number, "$1*");
}

}  // namespace

std::string aligned(const std::vector<TableRow>& rows) {
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

std::string shape_text(const std::vector<int64_t>& shape) { return join(shape, " x "); }

std::string tied_names(const std::string& name, const std::vector<std::string>& aliases) {
  std::string text = name;
  for (const std::string& alias : aliases) text += " = " + alias;
  return text;
}

NamedBytes list_others(torch::nn::Module& model, const std::unordered_set<const at::TensorImpl*>& planned) {
  std::unordered_map<const at::TensorImpl*, const Representation*> weights;
  for (const NamedSlot& slot : named_slots(model)) {
    const Representation& representation = slot.slot->representation();
    weights.emplace(representation.parameter().unsafeGetTensorImpl(), &representation);
  }
  NamedBytes others;
  for (const NamedParameter& parameter : unique_parameters(model)) {
    const at::TensorImpl* tensor = parameter.tensor.unsafeGetTensorImpl();
    if (planned.contains(tensor)) continue;
    const auto weight = weights.find(tensor);
    if (weight == weights.end() || weight->second->scheme() == "dense") {
      others.emplace_back(parameter.name, 4 * parameter.tensor.numel());
    } else {
      others.emplace_back(str_cat(parameter.name, " (", weight->second->scheme(), ")"),
                          weight->second->stored_bytes());
    }
  }
  return others;
}

int64_t append_others(const NamedBytes& others, size_t columns, std::vector<TableRow>& rows) {
  std::vector<std::pair<std::string, std::pair<int64_t, int64_t>>> groups;
  int64_t all_bytes = 0;
  for (const auto& [name, bytes] : others) {
    const std::string key = without_numbers(name);
    auto group = std::find_if(groups.begin(), groups.end(), [&](const auto& g) { return g.first == key; });
    if (group == groups.end()) group = groups.insert(groups.end(), {key, {0, 0}});
    ++group->second.first;
    group->second.second += bytes;
    all_bytes += bytes;
  }
  for (const auto& [name, group] : groups) {
    TableRow row(columns);
    row[0] = "  " + name;
    if (group.first > 1) row[2] = str_cat(group.first, " tensors");
    row[columns - 1] = row[columns - 2] = std::to_string(group.second);
    rows.push_back(std::move(row));
  }
  return all_bytes;
}

}  // namespace quantnoise::quant
