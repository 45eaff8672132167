#pragma once
// Tables of plans, for people.

#include <cstdint>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "quantnoise/quant/slot.h"

namespace quantnoise::quant {

using TableRow = std::vector<std::string>;

/// Columns are as wide as their widest cell; the first is flush left, the others right.
std::string aligned(const std::vector<TableRow>& rows);

std::string shape_text(const std::vector<int64_t>& shape);
/// "decoder.fc1 = decoder.output".
std::string tied_names(const std::string& name, const std::vector<std::string>& aliases);

using NamedBytes = std::vector<std::pair<std::string, int64_t>>;

/// What a plan leaves as it is, with its bytes: every parameter that is not among `planned`, in the order of
/// the model. Weights that are quantized already bear their scheme: "fc1.weight (int8)".
NamedBytes list_others(torch::nn::Module& model, const std::unordered_set<const at::TensorImpl*>& planned);

/// Appends a line for each group of names that differ in their numbers alone: name, count, bytes in the last
/// two of `columns` cells. Returns the sum of the bytes.
int64_t append_others(const NamedBytes& others, size_t columns, std::vector<TableRow>& rows);

}  // namespace quantnoise::quant
