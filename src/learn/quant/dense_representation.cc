#include "learn/quant/dense_representation.h"

#include "learn/quant/rows.h"
#include "learn/quant/widen.h"
#include "quantnoise/base/error.h"
#include "quantnoise/quant/context.h"

namespace quantnoise::quant {

namespace {

codec::BlockNoise block_noise(NoiseKind kind) {
  switch (kind) {
    case NoiseKind::kPq:
      return codec::BlockNoise::kDrop;
    case NoiseKind::kPqExact:
      return codec::BlockNoise::kExact;
    case NoiseKind::kMean:
      return codec::BlockNoise::kMean;
    case NoiseKind::kNone:
      break;
  }
  return codec::BlockNoise::kNone;
}

}  // namespace

DenseRepresentation::DenseRepresentation(at::Tensor weight, int64_t zero_row)
    : weight_(std::move(weight)), zero_row_(zero_row), matrix_(matrix_shape(weight_.sizes().vec())) {
  QN_REQUIRE(weight_.scalar_type() == at::kFloat && weight_.is_contiguous() && weight_.is_leaf(),
             ErrorKind::kConfig, "dense weight: found ", weight_.toString(), " ", weight_.sizes(),
             ", expected a contiguous fp32 leaf");
  QN_REQUIRE(zero_row_ >= -1 && zero_row_ < matrix_.rows, ErrorKind::kConfig, "padding row: found ",
             zero_row_, ", expected less than ", matrix_.rows, " rows");
  if (zero_row_ >= 0) {
    const at::NoGradGuard no_grad;
    weight_.select(0, zero_row_).zero_();
  }
}

codec::BlockNoiseSpec DenseRepresentation::noise_spec(const at::Tensor& weight, const WeightUse& use) {
  codec::BlockNoiseSpec spec;
  spec.zero_row = zero_row_;
  spec.block_size = static_cast<int>(matrix_.cols);  // a plain copy asks nothing of the columns
  if (!use.noise.blocks_active()) return spec;
  spec.kind = block_noise(use.noise.kind);
  spec.probability = use.noise.probability;
  spec.block_size = use.noise.block_size;
  spec.stream = use.stream;
  if (use.noise.rescale) spec.survivor_scale = static_cast<float>(1.0 / (1.0 - use.noise.probability));
  if (spec.kind == codec::BlockNoise::kExact) {
    codebook_.update(weight, matrix_, use);
    spec.centroids = codebook_.centroids();
    spec.codes = codebook_.codes();
  }
  return spec;
}

at::Tensor DenseRepresentation::materialize(const WeightUse& use) {
  if (!use.noise.blocks_active() && use.type == at::kFloat) return weight_.detach();
  // Other devices take the way over the CPU: the mask is the same everywhere.
  const at::Tensor weight = weight_.detach().to(at::kCPU);
  const codec::BlockNoiseSpec spec = noise_spec(weight, use);
  const float* source = weight.const_data_ptr<float>();
  if (use.type == at::kBFloat16) {
    at::Tensor value = buffer_or_empty(use.buffer, weight.sizes(), at::kBFloat16);
    auto* bits = reinterpret_cast<uint16_t*>(value.mutable_data_ptr<at::BFloat16>());
    codec::apply_block_noise(spec, source, matrix_.rows, matrix_.cols, bits, torch_parallel_for());
    return value.to(weight_.device());
  }
  at::Tensor value = buffer_or_empty(use.buffer, weight.sizes(), at::kFloat);
  codec::apply_block_noise(spec, source, matrix_.rows, matrix_.cols, value.mutable_data_ptr<float>(),
                           torch_parallel_for());
  return value.to(weight_.device(), use.type);
}

at::Tensor DenseRepresentation::materialize_rows(const at::Tensor& indices, const WeightUse& use) {
  const std::vector<int64_t> out_shape = rows_shape(indices, shape());
  const at::Tensor rows = checked_indices(indices, matrix_.rows);
  if (!use.noise.blocks_active()) {
    return weight_.detach().index_select(0, rows.view({-1}).to(weight_.device())).view(out_shape);
  }
  const at::Tensor weight = weight_.detach().to(at::kCPU);
  const codec::BlockNoiseSpec spec = noise_spec(weight, use);
  at::Tensor value = at::empty(out_shape, at::kFloat);
  codec::apply_block_noise_rows(spec, weight.const_data_ptr<float>(), matrix_.rows, matrix_.cols,
                                index_span(rows), value.mutable_data_ptr<float>(), torch_parallel_for());
  return value.to(weight_.device());
}

at::Tensor DenseRepresentation::parameter_gradient(const at::Tensor& grad) {
  at::Tensor gradient = widened_gradient(grad, weight_.sizes());
  if (zero_row_ >= 0) gradient.select(0, zero_row_).zero_();
  return gradient;
}

at::Tensor DenseRepresentation::parameter_gradient_rows(const at::Tensor& grad_rows,
                                                        const at::Tensor& indices, int64_t skip_row) {
  return scatter_rows(grad_rows, indices, matrix_.rows, skip_row).view(weight_.sizes());
}

codec::PackedWeight DenseRepresentation::pack() const {
  const at::Tensor weight = weight_.detach().to(at::kCPU).contiguous();
  codec::PackedWeight packed =
      codec::pack_dense({weight.const_data_ptr<float>(), static_cast<size_t>(weight.numel())}, shape());
  packed.zero_row = zero_row_;
  return packed;
}

int64_t DenseRepresentation::stored_bytes() const {
  return weight_.numel() * codec::scalar_bytes(codec::ScalarType::kF32);
}

std::map<std::string, at::Tensor> DenseRepresentation::training_state() const {
  std::map<std::string, at::Tensor> state;
  codebook_.save(state);
  return state;
}

void DenseRepresentation::load_training_state(const std::map<std::string, at::Tensor>& state) {
  codebook_.load(state);
}

}  // namespace quantnoise::quant
