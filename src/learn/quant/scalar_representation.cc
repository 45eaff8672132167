#include "learn/quant/scalar_representation.h"

#include "learn/quant/rows.h"
#include "quantnoise/base/error.h"
#include "quantnoise/codec/combined_noise.h"
#include "quantnoise/quant/context.h"

namespace quantnoise::quant {

namespace {

constexpr const char* kWeightKey = "weight";

at::Tensor on_cpu(const at::Tensor& weight) { return weight.detach().to(at::kCPU).contiguous(); }

}  // namespace

ScalarRepresentation::ScalarRepresentation(at::Tensor weight, const ScalarOptions& options, int64_t zero_row)
    : DenseRepresentation(std::move(weight), zero_row),
      grid_(on_cpu(DenseRepresentation::parameter()), options) {}

ScalarRepresentation::ScalarRepresentation(at::Tensor weight, codec::AffineGrid grid,
                                           const ScalarOptions& options, int64_t zero_row)
    : DenseRepresentation(std::move(weight), zero_row), grid_(std::move(grid), options) {}

std::string ScalarRepresentation::scheme() const { return str_cat("int", grid_.grid().bits); }

void ScalarRepresentation::configure(const ScalarOptions& options) {
  grid_.configure(on_cpu(parameter()), options);
}

codec::AffineNoiseSpec ScalarRepresentation::element_spec(const at::Tensor& weight, const WeightUse& use) {
  if (use.training) grid_.update(weight, use.update);
  codec::AffineNoiseSpec spec;
  spec.probability = use.training ? use.noise.scalar_probability : 1;
  spec.stream = use.element_stream;
  spec.zero_row = zero_row();
  clips_gradient_ = grid_.options().clipped && spec.probability > 0;
  spec.clip = clips_gradient_ && spec.probability < 1;
  return spec;
}

at::Tensor ScalarRepresentation::materialize(const WeightUse& use) {
  const at::Tensor weight = on_cpu(parameter());
  const codec::AffineNoiseSpec elements = element_spec(weight, use);
  if (elements.probability == 0) return DenseRepresentation::materialize(use);
  const bool bf16 = use.type == at::kBFloat16;
  at::Tensor value = buffer_or_empty(use.buffer, weight.sizes(), bf16 ? at::kBFloat16 : at::kFloat);
  const auto apply = [&](auto* out) {
    const auto* source = weight.const_data_ptr<float>();
    if (use.training && use.noise.blocks_active()) {
      codec::apply_combined_noise({noise_spec(weight, use), elements}, grid_.grid(), source, weight.sizes(),
                                  out, torch_parallel_for());
    } else {
      codec::apply_affine_noise(elements, grid_.grid(), source, weight.sizes(), out, torch_parallel_for());
    }
  };
  if (bf16) {
    apply(reinterpret_cast<uint16_t*>(value.mutable_data_ptr<at::BFloat16>()));
  } else {
    apply(value.mutable_data_ptr<float>());
  }
  return value.to(parameter().device(), use.type);
}

at::Tensor ScalarRepresentation::materialize_rows(const at::Tensor& indices, const WeightUse& use) {
  const std::vector<int64_t> out_shape = rows_shape(indices, shape());
  const at::Tensor weight = on_cpu(parameter());
  const at::Tensor rows = checked_indices(indices, weight.size(0));
  const codec::AffineNoiseSpec elements = element_spec(weight, use);
  if (elements.probability == 0) return DenseRepresentation::materialize_rows(indices, use);
  at::Tensor value = at::empty(out_shape, at::kFloat);
  const auto* source = weight.const_data_ptr<float>();
  auto* out = value.mutable_data_ptr<float>();
  if (use.training && use.noise.blocks_active()) {
    codec::apply_combined_noise_rows({noise_spec(weight, use), elements}, grid_.grid(), source,
                                     weight.sizes(), index_span(rows), out, torch_parallel_for());
  } else {
    codec::apply_affine_noise_rows(elements, grid_.grid(), source, weight.sizes(), index_span(rows), out,
                                   torch_parallel_for());
  }
  return value.to(parameter().device());
}

// Zero where the stored weight lies outside the range.
at::Tensor ScalarRepresentation::clip_gradient(at::Tensor gradient) const {
  if (!clips_gradient_) return gradient;
  const codec::AffineGrid& grid = grid_.grid();
  std::vector<float> low, high;
  for (size_t channel = 0; channel < grid.scales.size(); ++channel) {
    low.push_back(grid.range(channel).min);
    high.push_back(grid.range(channel).max);
  }
  std::vector<int64_t> broadcast(shape().size(), 1);
  if (grid.axis >= 0) broadcast[static_cast<size_t>(grid.axis)] = -1;
  const at::Tensor weight = parameter().detach();
  const auto ends = [&](const std::vector<float>& values) {
    return at::tensor(values, at::kFloat).view(broadcast).to(weight.device());
  };
  const at::Tensor outside = (weight < ends(low)).logical_or_(weight > ends(high));
  return gradient.masked_fill_(outside, 0);
}

at::Tensor ScalarRepresentation::parameter_gradient(const at::Tensor& grad) {
  return clip_gradient(DenseRepresentation::parameter_gradient(grad));
}

at::Tensor ScalarRepresentation::parameter_gradient_rows(const at::Tensor& grad_rows,
                                                         const at::Tensor& indices, int64_t skip_row) {
  return clip_gradient(DenseRepresentation::parameter_gradient_rows(grad_rows, indices, skip_row));
}

codec::PackedWeight ScalarRepresentation::pack() const {
  const at::Tensor weight = on_cpu(parameter());
  return codec::pack_affine({weight.const_data_ptr<float>(), static_cast<size_t>(weight.numel())}, shape(),
                            grid_.grid(), torch_parallel_for(), zero_row());
}

int64_t ScalarRepresentation::stored_bytes() const {
  codec::PackedWeight empty;
  empty.scheme = codec::Scheme::kAffine;
  empty.shape = shape();
  empty.code_bits = grid_.grid().bits;
  empty.scales = grid_.grid().scales;
  empty.zero_points = grid_.grid().zero_points;
  return empty.stored_bytes();
}

std::map<std::string, at::Tensor> ScalarRepresentation::training_state() const {
  std::map<std::string, at::Tensor> state = DenseRepresentation::training_state();
  state[kWeightKey] = parameter().detach();
  grid_.save(state);
  return state;
}

void ScalarRepresentation::load_training_state(const std::map<std::string, at::Tensor>& state) {
  DenseRepresentation::load_training_state(state);
  if (!ScalarGrid::is_in(state)) return;  // a checkpoint from before the weight had a grid
  QN_REQUIRE(state.contains(kWeightKey), ErrorKind::kFormat,
             "training state of an int-N weight: the weight is missing");
  grid_.load(state, shape());
  load_originals(state);
}

void ScalarRepresentation::load_originals(const std::map<std::string, at::Tensor>& state) {
  const auto found = state.find(kWeightKey);
  if (found == state.end()) return;
  const at::Tensor target = parameter();
  QN_REQUIRE(found->second.sizes() == target.sizes(), ErrorKind::kFormat, "weight: found shape ",
             found->second.sizes(), ", expected ", target.sizes());
  const at::NoGradGuard no_grad;
  target.copy_(found->second);
}

}  // namespace quantnoise::quant
