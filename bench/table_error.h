#pragma once
// How exact products by look-up tables are on the inputs that a model's layers meet.

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "quantnoise/codec/packed_weight.h"
#include "quantnoise/runtime/language_model.h"

namespace quantnoise::bench {

/// Inputs of one layer with product codes.
struct RecordedInputs {
  std::string layer;
  codec::PackedWeight weight;
  std::vector<float> x;  ///< (n, columns)
  int64_t n = 0;
};

/// What reaches the layers with product codes while the model reads `texts` with exact products: of each the
/// first `most_rows` rows, in the order of the layers.
inline std::vector<RecordedInputs> record_inputs(const pack::ModelFile& file, const std::string& name,
                                                 std::span<const runtime::ScoredTokens> texts,
                                                 int64_t most_rows) {
  std::vector<RecordedInputs> layers;
  std::map<std::string, size_t> index;
  const auto observe = [&](const std::string& layer, std::span<const float> x, int64_t n) {
    auto found = index.find(layer);
    if (found == index.end()) {
      const auto tie = file.ties.find(layer + ".weight");
      const std::string weight = tie == file.ties.end() ? layer + ".weight" : tie->second;
      found = index.emplace(layer, layers.size()).first;
      layers.push_back({layer, file.weights.at(weight), {}, 0});
    }
    RecordedInputs& to = layers[found->second];
    const int64_t taken = std::min(n, most_rows - to.n), cols = static_cast<int64_t>(x.size()) / n;
    if (to.weight.scheme != codec::Scheme::kProduct || taken <= 0) return;
    to.x.insert(to.x.end(), x.begin(), x.begin() + taken * cols);
    to.n += taken;
  };
  runtime::SessionOptions options;
  options.method = runtime::Method::kDecode;
  options.on_product = observe;
  runtime::Session session(runtime::LanguageModel::from_file(file, name), options);
  session.log_probs(texts);
  std::erase_if(layers, [](const RecordedInputs& layer) { return layer.n == 0; });
  return layers;
}

/// Relative squared errors Σ (y − exact)² / Σ exact².
struct ProductError {
  double all = 0;    ///< of all rows of x together
  double worst = 0;  ///< of the row with the largest
};

/// exact: (n, rows), y likewise.
inline ProductError product_error(const std::vector<double>& exact, const std::vector<float>& y, int64_t n) {
  const size_t rows = exact.size() / static_cast<size_t>(n);
  ProductError result;
  double error = 0, total = 0;
  for (size_t i = 0; i < static_cast<size_t>(n); ++i) {
    double row_error = 0, row_total = 0;
    for (size_t r = i * rows; r < (i + 1) * rows; ++r) {
      row_error += (double{y[r]} - exact[r]) * (double{y[r]} - exact[r]);
      row_total += exact[r] * exact[r];
    }
    if (row_total > 0) result.worst = std::max(result.worst, row_error / row_total);
    error += row_error;
    total += row_total;
  }
  result.all = total > 0 ? error / total : error;
  return result;
}

/// x Wᵀ of the values that the codes stand for, in double precision: (n, rows).
inline std::vector<double> exact_products(const RecordedInputs& inputs) {
  const std::vector<float> weight = codec::unpack_to_float(inputs.weight);
  const int64_t rows = inputs.weight.rows(), cols = inputs.weight.cols();
  std::vector<double> y(static_cast<size_t>(inputs.n * rows), 0.0);
  for (int64_t i = 0; i < inputs.n; ++i) {
    for (int64_t r = 0; r < rows; ++r) {
      double sum = 0;
      for (int64_t j = 0; j < cols; ++j)
        sum +=
            double{weight[static_cast<size_t>(r * cols + j)]} * inputs.x[static_cast<size_t>(i * cols + j)];
      y[static_cast<size_t>(i * rows + r)] = sum;
    }
  }
  return y;
}

/// Errors of the tables of one arithmetic.
inline ProductError table_error(const RecordedInputs& inputs, const std::vector<double>& exact,
                                runtime::Arithmetic arithmetic) {
  std::vector<float> y(exact.size());
  runtime::make_matrix(inputs.weight)
      ->multiply(inputs.x, inputs.n, {}, y, {arithmetic, runtime::Method::kLookup});
  return product_error(exact, y, inputs.n);
}

}  // namespace quantnoise::bench
