#pragma once
#include "quantnoise/quant/representation.h"

namespace quantnoise::quant {

class ProductRepresentation final : public Representation {
 public:
  ProductRepresentation(codec::ProductMatrix matrix, std::vector<int64_t> shape,
                        codec::CentroidGradient gradient, int64_t zero_row, codec::ScalarType centroid_type);

  std::string scheme() const override { return "pq"; }
  std::vector<int64_t> shape() const override { return shape_; }
  at::Tensor parameter() const override { return centroids_; }
  std::string parameter_name() const override { return "centroids"; }
  int64_t zero_row() const override { return zero_row_; }
  bool takes_block_noise() const override { return false; }
  bool takes_scalar_noise() const override { return centroid_type_ == codec::ScalarType::kI8; }
  codec::ScalarType centroid_type() const { return centroid_type_; }
  void set_centroid_type(codec::ScalarType type) { centroid_type_ = type; }

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
  // The centroids this use decodes with, into the scratch of matrix_: fp32 originals in training, some of
  // them rounded when there is noise; the file's values in evaluation.
  const codec::ProductMatrix& decodable(const WeightUse& use);
  at::Tensor materialize_on_device(const at::Tensor& rows, const WeightUse& use);
  at::Tensor centroid_gradient(const at::Tensor& grad, std::span<const uint16_t> codes) const;

  codec::ProductMatrix matrix_;  // its centroids are scratch: the parameter is the truth
  std::vector<int64_t> shape_;
  codec::CentroidGradient gradient_;
  int64_t zero_row_;
  codec::ScalarType centroid_type_;
  at::Tensor centroids_;
  std::vector<int64_t> counts_;  // blocks of each centroid, those of the zero row excluded
};

}  // namespace quantnoise::quant
