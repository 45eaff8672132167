#include "learn/quant/product_representation.h"

#include <algorithm>
#include <cstring>

#include "learn/quant/rows.h"
#include "quantnoise/base/error.h"
#include "quantnoise/codec/affine_noise.h"
#include "quantnoise/codec/centroids.h"
#include "quantnoise/quant/context.h"

namespace quantnoise::quant {

namespace {

std::span<const float> float_span(const at::Tensor& tensor) {
  return {tensor.const_data_ptr<float>(), static_cast<size_t>(tensor.numel())};
}

void check_matrix(const codec::ProductMatrix& matrix, const std::vector<int64_t>& shape, int64_t zero_row) {
  const MatrixShape expected = matrix_shape(shape);
  QN_REQUIRE(matrix.rows == expected.rows && matrix.cols == expected.cols, ErrorKind::kConfig,
             "product codes of a matrix ", matrix.rows, " x ", matrix.cols, ", expected ", expected.rows,
             " x ", expected.cols);
  QN_REQUIRE(zero_row >= -1 && zero_row < matrix.rows, ErrorKind::kConfig, "padding row: found ", zero_row,
             ", expected less than ", matrix.rows, " rows");
}

}  // namespace

ProductRepresentation::ProductRepresentation(codec::ProductMatrix matrix, std::vector<int64_t> shape,
                                             codec::CentroidGradient gradient, int64_t zero_row,
                                             codec::ScalarType centroid_type)
    : matrix_(std::move(matrix)),
      shape_(std::move(shape)),
      gradient_(gradient),
      zero_row_(zero_row),
      centroid_type_(centroid_type) {
  check_matrix(matrix_, shape_, zero_row_);
  centroids_ = at::empty({matrix_.num_centroids, matrix_.block_size}, at::kFloat);
  std::copy(matrix_.centroids.begin(), matrix_.centroids.end(), centroids_.mutable_data_ptr<float>());
  centroids_.set_requires_grad(true);
  counts_ = codec::count_codes(matrix_.codes, matrix_.num_centroids);
  if (zero_row_ < 0) return;
  const int64_t blocks = matrix_.blocks_per_row();
  for (int64_t b = 0; b < blocks; ++b) --counts_[matrix_.codes[zero_row_ * blocks + b]];
}

const codec::ProductMatrix& ProductRepresentation::decodable(const WeightUse& use) {
  const at::Tensor current = centroids_.detach().to(at::kCPU).contiguous();
  const std::span<const float> values = float_span(current);
  if (!use.training) {
    codec::round_centroids(values, centroid_type_, matrix_.centroids);
    return matrix_;
  }
  if (!use.noise.scalar_active() || !takes_scalar_noise()) {
    std::copy(values.begin(), values.end(), matrix_.centroids.begin());
    return matrix_;
  }
  codec::AffineNoiseSpec spec;
  spec.probability = use.noise.scalar_probability;
  spec.stream = use.element_stream;
  codec::apply_affine_noise(spec, codec::centroid_grid(values), values.data(), current.sizes(),
                            matrix_.centroids.data(), torch_parallel_for());
  return matrix_;
}

at::Tensor ProductRepresentation::materialize(const WeightUse& use) {
  if (!centroids_.is_cpu())
    return materialize_on_device(at::arange(matrix_.rows, at::kLong), use).view(shape_);
  const codec::ProductMatrix& matrix = decodable(use);
  const bool bf16 = use.type == at::kBFloat16;
  at::Tensor value = buffer_or_empty(use.buffer, shape_, bf16 ? at::kBFloat16 : at::kFloat);
  const auto numel = static_cast<size_t>(value.numel());
  if (bf16) {
    auto* bits = reinterpret_cast<uint16_t*>(value.mutable_data_ptr<at::BFloat16>());
    codec::decode_bf16(matrix, {bits, numel}, torch_parallel_for());
  } else {
    codec::decode(matrix, {value.mutable_data_ptr<float>(), numel}, torch_parallel_for());
  }
  if (zero_row_ >= 0) value.select(0, zero_row_).zero_();
  return value.to(use.type);
}

at::Tensor ProductRepresentation::materialize_rows(const at::Tensor& indices, const WeightUse& use) {
  const std::vector<int64_t> out_shape = rows_shape(indices, shape_);
  const at::Tensor rows = checked_indices(indices, matrix_.rows);
  if (!centroids_.is_cpu()) return materialize_on_device(rows, use).to(at::kFloat).view(out_shape);
  at::Tensor value = at::empty(out_shape, at::kFloat);
  float* out = value.mutable_data_ptr<float>();
  codec::decode_rows(decodable(use), index_span(rows), {out, static_cast<size_t>(value.numel())},
                     torch_parallel_for());
  for (const int64_t row : index_span(rows)) {
    if (row == zero_row_) std::fill(out, out + matrix_.cols, 0.0f);
    out += matrix_.cols;
  }
  return value;
}

// (rows.numel(), cols) of use.type on the centroids' device. rows: int64 on the CPU.
at::Tensor ProductRepresentation::materialize_on_device(const at::Tensor& rows, const WeightUse& use) {
  const int64_t blocks = matrix_.blocks_per_row();
  at::Tensor codes = at::empty({rows.numel(), blocks}, at::kLong);
  int64_t* out = codes.mutable_data_ptr<int64_t>();
  for (const int64_t row : index_span(rows)) {
    out = std::copy_n(matrix_.codes.begin() + row * blocks, blocks, out);
  }
  const std::vector<float>& used = decodable(use).centroids;
  const at::Tensor centroids = at::tensor(used, at::kFloat).view(centroids_.sizes()).to(centroids_.device());
  at::Tensor value = centroids.to(use.type).index_select(0, codes.view({-1}).to(centroids.device()));
  value = value.view({rows.numel(), matrix_.cols});
  if (zero_row_ >= 0) value.masked_fill_((rows.view({-1, 1}) == zero_row_).to(value.device()), 0);
  return value;
}

// grad: (n, cols) fp32; codes: (n, blocks_per_row).
at::Tensor ProductRepresentation::centroid_gradient(const at::Tensor& grad,
                                                    std::span<const uint16_t> codes) const {
  const at::Tensor source = grad.to(at::kCPU).contiguous();
  at::Tensor sum = at::zeros({matrix_.num_centroids, matrix_.block_size}, at::kFloat);
  codec::accumulate_centroid_gradient(float_span(source), source.size(0), matrix_.cols, matrix_.block_size,
                                      codes, matrix_.num_centroids, gradient_, counts_,
                                      {sum.mutable_data_ptr<float>(), static_cast<size_t>(sum.numel())},
                                      torch_parallel_for());
  return sum.to(centroids_.device());
}

at::Tensor ProductRepresentation::parameter_gradient(const at::Tensor& grad) {
  at::Tensor gradient = grad.to(at::kFloat).view({matrix_.rows, matrix_.cols});
  if (zero_row_ >= 0) gradient.select(0, zero_row_).zero_();
  return centroid_gradient(gradient, matrix_.codes);
}

at::Tensor ProductRepresentation::parameter_gradient_rows(const at::Tensor& grad_rows,
                                                          const at::Tensor& indices, int64_t skip_row) {
  const at::Tensor rows = checked_indices(indices, matrix_.rows);
  at::Tensor grad = grad_rows.to(at::kFloat);
  const int64_t blocks = matrix_.blocks_per_row();
  std::vector<uint16_t> codes;
  codes.reserve(static_cast<size_t>(rows.numel() * blocks));
  std::vector<int64_t> kept;
  for (int64_t i = 0; i < rows.numel(); ++i) {
    const int64_t row = index_span(rows)[i];
    if (row == skip_row || row == zero_row_) continue;
    kept.push_back(i);
    codes.insert(codes.end(), matrix_.codes.begin() + row * blocks,
                 matrix_.codes.begin() + (row + 1) * blocks);
  }
  if (static_cast<int64_t>(kept.size()) < rows.numel()) {
    grad = grad.index_select(0, at::tensor(kept, at::kLong).to(grad.device()));
  }
  return centroid_gradient(grad, codes);
}

codec::PackedWeight ProductRepresentation::pack() const {
  codec::ProductMatrix matrix = matrix_;
  const at::Tensor current = centroids_.detach().to(at::kCPU).contiguous();
  std::copy_n(current.const_data_ptr<float>(), current.numel(), matrix.centroids.begin());
  codec::PackedWeight packed = codec::pack_product(matrix, shape_, {}, centroid_type_);
  packed.zero_row = zero_row_;
  return packed;
}

int64_t ProductRepresentation::stored_bytes() const {
  codec::PackedWeight empty;
  empty.scheme = codec::Scheme::kProduct;
  empty.shape = shape_;
  empty.block_size = matrix_.block_size;
  empty.num_centroids = matrix_.num_centroids;
  empty.code_bits = codec::code_bits_for(matrix_.num_centroids);
  empty.centroid_type = centroid_type_;
  return empty.stored_bytes();
}

std::map<std::string, at::Tensor> ProductRepresentation::training_state() const {
  return {{"centroids", centroids_.detach()}};
}

void ProductRepresentation::load_training_state(const std::map<std::string, at::Tensor>& state) {
  QN_REQUIRE(state.contains("centroids"), ErrorKind::kFormat,
             "training state of product codes: centroids are missing");
  load_originals(state);
}

void ProductRepresentation::load_originals(const std::map<std::string, at::Tensor>& state) {
  const auto found = state.find("centroids");
  if (found == state.end()) return;
  QN_REQUIRE(found->second.sizes() == centroids_.sizes(), ErrorKind::kFormat, "centroids: found shape ",
             found->second.sizes(), ", expected ", centroids_.sizes());
  const at::NoGradGuard no_grad;
  centroids_.copy_(found->second);
}

}  // namespace quantnoise::quant
