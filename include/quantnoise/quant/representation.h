#pragma once
// What a weight slot holds: a dense weight, product codes, (later) affine int-N codes.

#include <torch/torch.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "quantnoise/base/random.h"
#include "quantnoise/codec/packed_weight.h"
#include "quantnoise/codec/product.h"

namespace quantnoise::quant {

enum class NoiseKind {
  kNone,
  kPq,       ///< drop blocks (the reference's choice)
  kPqExact,  ///< blocks become their nearest codeword
  kMean,     ///< blocks become their mean
};

/// "pq", "pq-exact", "mean". Errors: kConfig naming the choices.
NoiseKind parse_noise_kind(const std::string& name);
std::string noise_kind_name(NoiseKind kind);

struct NoiseOptions {
  NoiseKind kind = NoiseKind::kNone;
  double probability = 0;  ///< kPq and kMean: [0, 1); kPqExact: [0, 1]
  int block_size = 8;
  bool rescale = true;              ///< kPq: survivors times 1/(1 − probability)
  int num_centroids = 256;          ///< kPqExact
  int64_t refresh_interval = 1000;  ///< kPqExact: updates between two codebooks
  int kmeans_iterations = 20;       ///< kPqExact

  bool active() const { return kind != NoiseKind::kNone && probability > 0; }
};

/// What a use of a weight asks for.
struct WeightUse {
  bool training = false;  ///< fp32 originals; otherwise the values the file will hold
  NoiseOptions noise;     ///< inactive: no noise
  at::ScalarType type = at::kFloat;
  base::RandomStream stream;  ///< of this slot at the current noise clock
  uint64_t update = 0;        ///< for states that are refreshed by the update count
  at::Tensor buffer;          ///< optional memory nobody else sees; the value may be written into it
};

/// Value semantics of a weight of logical shape `shape()`; viewed as a matrix (shape[0], product of the
/// rest). Not thread-safe.
class Representation {
 public:
  virtual ~Representation() = default;

  virtual std::string scheme() const = 0;  ///< "dense", "pq"
  virtual std::vector<int64_t> shape() const = 0;
  /// The trainable tensor (fp32, a leaf) and the name under which owners register it: "weight" or
  /// "centroids".
  virtual at::Tensor parameter() const = 0;
  virtual std::string parameter_name() const = 0;
  virtual int64_t zero_row() const = 0;  ///< padding row that is zero in every value; −1: none
  virtual bool takes_noise() const = 0;  ///< whether WeightUse::noise has an effect

  /// The value this use multiplies with: shape(), of use.type, no gradient. The stored tensor is never
  /// written and never aliased by a result that somebody may write to. A dense fp32 weight without noise may
  /// be returned as it is.
  virtual at::Tensor materialize(const WeightUse& use) = 0;
  /// Rows `indices` (int64, any shape) of that value: shape (indices…, rest of shape()), fp32.
  virtual at::Tensor materialize_rows(const at::Tensor& indices, const WeightUse& use) = 0;

  /// Gradient of parameter() for the gradient of the dense value (straight-through: whatever was noised).
  /// fp32. grad: shape(), any floating type; the caller gives it up (it may be written to and returned).
  virtual at::Tensor parameter_gradient(const at::Tensor& grad) = 0;
  /// The same for gradients of selected rows (n, cols) at `indices` (n); repeated indices add up. Row
  /// `skip_row` (padding) gets none; −1: no such row.
  virtual at::Tensor parameter_gradient_rows(const at::Tensor& grad_rows, const at::Tensor& indices,
                                             int64_t skip_row) = 0;

  /// As the model file holds it.
  virtual codec::PackedWeight pack() const = 0;
  /// fp32 originals and noise state that a checkpoint needs beside pack(): name → tensor.
  virtual std::map<std::string, at::Tensor> training_state() const = 0;
  virtual void load_training_state(const std::map<std::string, at::Tensor>& state) = 0;
};

/// Elements as a matrix (shape[0], product of the rest).
struct MatrixShape {
  int64_t rows = 0;
  int64_t cols = 0;
};
MatrixShape matrix_shape(const std::vector<int64_t>& shape);

/// A dense weight (fp32 leaf, contiguous) that may carry noise. zero_row: padding row, set to zero here and
/// kept zero; −1: none.
std::unique_ptr<Representation> make_dense(at::Tensor weight, int64_t zero_row = -1);

/// Product codes with trainable fp32 centroids. In evaluation the centroids are rounded to fp16, as in the
/// file.
std::unique_ptr<Representation> make_product(codec::ProductMatrix matrix, std::vector<int64_t> shape,
                                             codec::CentroidGradient gradient, int64_t zero_row = -1);

/// From the file. Errors: kUnsupported for a scheme that cannot be trained yet; `name` appears in the
/// message.
std::unique_ptr<Representation> from_packed(const codec::PackedWeight& packed,
                                            codec::CentroidGradient gradient, const std::string& name = "");

}  // namespace quantnoise::quant
