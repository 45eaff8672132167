#pragma once
// Layers on packed weights. They are made by a Plan and never change; what they work with is in the Context.
// Matrices of activations are row-major, one row a token.

#include <memory>
#include <optional>
#include <span>
#include <string>

#include "core/runtime/context.h"
#include "core/runtime/weight_rows.h"
#include "quantnoise/codec/affine.h"
#include "quantnoise/pack/model_file.h"

namespace quantnoise::runtime {

/// A vector of the file as fp32: where it lies, or converted.
class FloatVector {
 public:
  FloatVector() = default;
  /// Errors: kFormat for another length or a type that is no float.
  FloatVector(const pack::RawTensor& tensor, int64_t expected);

  std::span<const float> values() const { return values_; }
  const float* data() const { return values_.data(); }
  int64_t owned_bytes() const { return static_cast<int64_t>(own_.size() * sizeof(float)); }

 private:
  std::vector<float> own_;  // copies keep their memory: values_ may point into it
  std::shared_ptr<const void> owner_;
  std::span<const float> values_;
};

/// How a layer's input is quantized (docs/file-format.md).
struct InputQuantization {
  pack::ActivationMode mode = pack::ActivationMode::kNone;
  codec::AffineGrid grid;
  std::string layer;  ///< its name
};

/// y = x Wᵀ + bias.
class Linear {
 public:
  /// weight_bytes: of the stored weight.
  Linear(std::shared_ptr<const Matrix> matrix, int64_t weight_bytes, std::shared_ptr<const FloatVector> bias,
         InputQuantization input)
      : matrix_(std::move(matrix)),
        weight_bytes_(weight_bytes),
        bias_(std::move(bias)),
        input_(std::move(input)) {}

  int64_t in_features() const { return matrix_->cols(); }
  int64_t out_features() const { return matrix_->rows(); }
  /// x: (n, in_features); y: (n, out_features).
  void forward(const float* x, int64_t n, float* y, Context& context) const;

 private:
  std::shared_ptr<const Matrix> matrix_;
  int64_t weight_bytes_;
  std::shared_ptr<const FloatVector> bias_;  // null: none
  InputQuantization input_;
};

/// y = x W, the weight being that of another layer: rows are decoded one after the other and added up.
class TransposedLinear {
 public:
  TransposedLinear(std::shared_ptr<const WeightRows> weight, InputQuantization input)
      : weight_(std::move(weight)), input_(std::move(input)) {}

  /// x: (n, rows of W); y: (n, columns of W).
  void forward(const float* x, int64_t n, float* y, Context& context) const;

 private:
  std::shared_ptr<const WeightRows> weight_;
  InputQuantization input_;
};

/// Rows of a table, each decoded when it is asked for.
class Embedding {
 public:
  explicit Embedding(std::shared_ptr<const WeightRows> table) : table_(std::move(table)) {}

  int64_t rows() const { return table_->rows(); }
  int64_t dim() const { return table_->cols(); }
  /// out: (dim).
  void read(int64_t row, float* out) const { table_->read(row, out); }

 private:
  std::shared_ptr<const WeightRows> table_;
};

/// γ (x − mean) / √(var + 1e-5) + β over a row.
class LayerNorm {
 public:
  LayerNorm(std::shared_ptr<const FloatVector> gamma, std::shared_ptr<const FloatVector> beta)
      : gamma_(std::move(gamma)), beta_(std::move(beta)) {}

  /// x, out: (n, dim); they may be the same.
  void forward(const float* x, int64_t n, float* out, Context& context) const;

 private:
  std::shared_ptr<const FloatVector> gamma_, beta_;
};

/// x += y, (count).
void add(const float* y, int64_t count, float* x);

}  // namespace quantnoise::runtime
