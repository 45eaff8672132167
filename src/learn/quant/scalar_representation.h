#pragma once
#include "learn/quant/dense_representation.h"
#include "learn/quant/scalar_grid.h"
#include "quantnoise/codec/affine_noise.h"

namespace quantnoise::quant {

/// An int-N weight in training: the fp32 original of a dense weight and the grid it will have in the file.
class ScalarRepresentation final : public DenseRepresentation {
 public:
  ScalarRepresentation(at::Tensor weight, const ScalarOptions& options, int64_t zero_row);
  /// A file's weight: values on the grid.
  ScalarRepresentation(at::Tensor weight, codec::AffineGrid grid, const ScalarOptions& options,
                       int64_t zero_row);

  std::string scheme() const override;
  bool takes_scalar_noise() const override { return true; }
  const ScalarGrid& scalar_grid() const { return grid_; }
  void configure(const ScalarOptions& options);

  at::Tensor materialize(const WeightUse& use) override;
  at::Tensor materialize_rows(const at::Tensor& indices, const WeightUse& use) override;
  at::Tensor parameter_gradient(const at::Tensor& grad) override;
  at::Tensor parameter_gradient_rows(const at::Tensor& grad_rows, const at::Tensor& indices,
                                     int64_t skip_row) override;

  codec::PackedWeight pack() const override;
  int64_t stored_bytes() const override;
  std::map<std::string, at::Tensor> training_state() const override;
  void load_training_state(const std::map<std::string, at::Tensor>& state) override;
  void load_originals(const std::map<std::string, at::Tensor>& state) override;

 private:
  /// What becomes of single elements in this use; brings the grid up to date.
  codec::AffineNoiseSpec element_spec(const at::Tensor& weight, const WeightUse& use);
  at::Tensor clip_gradient(at::Tensor gradient) const;

  ScalarGrid grid_;
  bool clips_gradient_ = false;  // in the last use
};

}  // namespace quantnoise::quant
