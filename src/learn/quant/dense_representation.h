#pragma once
#include "learn/quant/noise_codebook.h"
#include "quantnoise/codec/noise.h"
#include "quantnoise/quant/representation.h"

namespace quantnoise::quant {

class DenseRepresentation : public Representation {
 public:
  /// Leaves it to the caller whether the weight requires a gradient.
  DenseRepresentation(at::Tensor weight, int64_t zero_row);

  std::string scheme() const override { return "dense"; }
  std::vector<int64_t> shape() const override { return weight_.sizes().vec(); }
  at::Tensor parameter() const override { return weight_; }
  std::string parameter_name() const override { return "weight"; }
  int64_t zero_row() const override { return zero_row_; }
  bool takes_block_noise() const override { return true; }
  bool takes_scalar_noise() const override { return false; }

  at::Tensor materialize(const WeightUse& use) override;
  at::Tensor materialize_rows(const at::Tensor& indices, const WeightUse& use) override;
  at::Tensor parameter_gradient(const at::Tensor& grad) override;
  at::Tensor parameter_gradient_rows(const at::Tensor& grad_rows, const at::Tensor& indices,
                                     int64_t skip_row) override;

  codec::PackedWeight pack() const override;
  int64_t stored_bytes() const override;
  std::map<std::string, at::Tensor> training_state() const override;
  void load_training_state(const std::map<std::string, at::Tensor>& state) override;
  void load_originals(const std::map<std::string, at::Tensor>&) override {}  // pack() loses nothing

 protected:
  // weight: contiguous fp32 on the CPU. The spec refers to codebook_, which it brings up to date.
  codec::BlockNoiseSpec noise_spec(const at::Tensor& weight, const WeightUse& use);

 private:
  at::Tensor weight_;
  int64_t zero_row_;
  MatrixShape matrix_;
  NoiseCodebook codebook_;
};

}  // namespace quantnoise::quant
