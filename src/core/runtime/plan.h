#pragma once
// How a family of models puts its layers together from a file: it asks for each by name and shape, and says
// at the end that this was all. The plan finds the weights, shares those that are tied, quantizes inputs
// where the file says so, and reports what it made. Further families join by asking for their layers here.

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/runtime/layers.h"
#include "quantnoise/runtime/model.h"

namespace quantnoise::runtime {

enum class Bias { kNone, kYes };

class Plan {
 public:
  /// The file must outlive the plan, not the layers.
  explicit Plan(const pack::ModelFile& file) : file_(file) {}

  /// tied_to: the layer of the architecture that owns the weight, "" when it is this one's own.
  /// Errors of all: kFormat for a missing weight, another shape, or a tie that the file lacks; each names the
  /// layer.
  Linear linear(const std::string& layer, int64_t in, int64_t out, Bias bias,
                const std::string& tied_to = "");
  /// in: rows of the weight, which belongs to `tied_to`; out: its columns.
  TransposedLinear transposed_linear(const std::string& layer, int64_t in, int64_t out,
                                     const std::string& tied_to);
  Embedding embedding(const std::string& layer, int64_t rows, int64_t dim);
  LayerNorm layer_norm(const std::string& layer, int64_t dim);

  /// Errors: kFormat when the file holds weights, tensors, ties or quantized inputs that no layer asked for.
  std::vector<LayerReport> finish();

 private:
  const codec::PackedWeight& find_weight(const std::string& layer, int64_t rows, int64_t cols,
                                         const std::string& tied_to);
  std::shared_ptr<const FloatVector> vector(const std::string& name, int64_t count);
  InputQuantization input_of(const std::string& layer);
  LayerReport& report(const std::string& layer, const std::string& kind, const codec::PackedWeight& weight,
                      const std::string& tied_to);

  const pack::ModelFile& file_;
  std::map<std::string, std::shared_ptr<const Matrix>> matrices_;  ///< by name of the weight
  std::set<std::string> used_;                                     ///< weights, tensors and ties
  std::set<std::string> quantized_inputs_;
  std::vector<LayerReport> reports_;
};

}  // namespace quantnoise::runtime
