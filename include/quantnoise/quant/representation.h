#pragma once
// What a weight slot holds: a dense weight, one with an int-N grid, product codes.

#include <torch/torch.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "quantnoise/base/random.h"
#include "quantnoise/codec/observer.h"
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
  /// Of a single element (after product quantization: of a centroid's element) to take its int-N value, [0,
  /// 1]. Draws of its own, beside those of the blocks. Only for representations that take it.
  double scalar_probability = 0;

  bool blocks_active() const { return kind != NoiseKind::kNone && probability > 0; }
  bool scalar_active() const { return scalar_probability > 0; }
  bool active() const { return blocks_active() || scalar_active(); }
};

/// Int-N quantization of a weight whose fp32 original goes on being trained.
struct ScalarOptions {
  int bits = 8;  ///< 2 … 8
  codec::Observer observer = codec::Observer::kHistogram;
  /// Updates between two grids; see ScalarGrid for the first ones.
  int64_t update_step = 1000;
  /// The reference's straight-through rule: with noise, elements that are not drawn are clipped to the grid's
  /// range, and elements outside get no gradient. Else: copies, and the gradient goes to every element.
  bool clipped = false;

  bool operator==(const ScalarOptions&) const = default;
};
/// Errors: kConfig naming `name` for bits or an update step out of range.
void check_scalar(const ScalarOptions& options, const std::string& name);

/// What a use of a weight asks for.
struct WeightUse {
  bool training = false;  ///< fp32 originals; otherwise the values the file will hold
  NoiseOptions noise;     ///< inactive: no noise
  at::ScalarType type = at::kFloat;
  base::RandomStream stream;          ///< of this slot at the current noise clock
  base::RandomStream element_stream;  ///< the same, of single elements
  uint64_t update = 0;                ///< for states that are refreshed by the update count
  at::Tensor buffer;                  ///< optional memory nobody else sees; the value may be written into it
};

/// Value semantics of a weight of logical shape `shape()`; viewed as a matrix (shape[0], product of the
/// rest). Not thread-safe.
class Representation {
 public:
  virtual ~Representation() = default;

  virtual std::string scheme() const = 0;  ///< "dense", "pq", "int2" … "int8"
  virtual std::vector<int64_t> shape() const = 0;
  /// The trainable tensor (fp32, a leaf) and the name under which owners register it: "weight" or
  /// "centroids".
  virtual at::Tensor parameter() const = 0;
  virtual std::string parameter_name() const = 0;
  virtual int64_t zero_row() const = 0;  ///< padding row that is zero in every value; −1: none
  virtual bool takes_block_noise() const = 0;
  virtual bool takes_scalar_noise() const = 0;
  /// The part of these options that has an effect here.
  NoiseOptions effective(NoiseOptions noise) const;

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
  /// pack().stored_bytes(), without packing.
  virtual int64_t stored_bytes() const = 0;
  /// fp32 originals and noise state that a checkpoint needs beside pack(): name → tensor.
  virtual std::map<std::string, at::Tensor> training_state() const = 0;
  virtual void load_training_state(const std::map<std::string, at::Tensor>& state) = 0;
  /// Of such a state the fp32 originals alone: for a new run from a checkpoint's weights.
  virtual void load_originals(const std::map<std::string, at::Tensor>& state) = 0;
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

/// A dense weight with an int-N grid, which is found at once. In evaluation every element has its value on
/// the grid, and the file holds the codes. weight, zero_row: as above; the tensor may be that of a dense
/// representation this one is to replace. Errors: kConfig; kNumeric for a NaN or infinity.
std::unique_ptr<Representation> make_scalar(at::Tensor weight, const ScalarOptions& options,
                                            int64_t zero_row = -1);

/// Product codes with trainable fp32 centroids. In evaluation the centroids are rounded to `centroid_type`
/// (kF16, or kI8 with one scale: codec/centroids.h), as in the file.
std::unique_ptr<Representation> make_product(codec::ProductMatrix matrix, std::vector<int64_t> shape,
                                             codec::CentroidGradient gradient, int64_t zero_row = -1,
                                             codec::ScalarType centroid_type = codec::ScalarType::kF16);

/// From the file, of the file's scheme. An int-N weight has the file's grid and its values as originals; the
/// grid stays for the first `update_step` updates. Errors: kFormat.
std::unique_ptr<Representation> from_packed(const codec::PackedWeight& packed,
                                            codec::CentroidGradient gradient);

/// Whether the trainable tensor is the weight itself ("dense", "int…") and not a codebook.
inline bool holds_weight(const Representation& representation) {
  return representation.parameter_name() == "weight";
}

}  // namespace quantnoise::quant
