#include "quantnoise/nn/loss.h"

#include <algorithm>

#include "learn/nn/element_passes.h"
#include "learn/nn/product.h"
#include "quantnoise/kernels/cross_entropy.h"
#include "quantnoise/quant/capsule.h"
#include "quantnoise/quant/context.h"

namespace quantnoise::nn {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// A chunk's logits: 64 MiB of bf16. Every chunk reads and writes the gradient of the whole weight, so that
// smaller ones, which would stay in the last-level cache, cost more than they save.
constexpr int64_t kChunkElements = int64_t{1} << 25;

struct Rows {
  at::Tensor features;  ///< (n, dim) in the compute type
  at::Tensor weight;    ///< (vocabulary, dim) in the compute type
  at::Tensor targets;   ///< (n) int64
  int64_t padding_idx = -1;
  int64_t chunk_rows = 0;

  int64_t count() const { return features.size(0); }
  int64_t chunk(int64_t first) const { return std::min(chunk_rows, count() - first); }
};

int64_t rows_in_chunk(int64_t vocabulary) {
  return std::clamp<int64_t>(kChunkElements / std::max<int64_t>(vocabulary, 1) / 64 * 64, 64, 4096);
}

Rows make_rows(const at::Tensor& features, const at::Tensor& weight, const at::Tensor& targets,
               const ChunkedLossOptions& options) {
  Rows rows;
  rows.weight = weight;
  rows.features = features.reshape({-1, features.size(-1)}).to(weight.scalar_type()).contiguous();
  rows.targets = targets.reshape({-1}).contiguous();
  rows.padding_idx = options.padding_idx;
  rows.chunk_rows = options.chunk_rows > 0 ? options.chunk_rows : rows_in_chunk(weight.size(0));
  return rows;
}

/// Loss of each row of the chunk; the logits become gradients when asked for.
void chunk_losses(const Rows& rows, int64_t first, const at::Tensor& logits, bool gradient, float* losses) {
  const int64_t vocabulary = logits.size(1);
  const auto& kernel = kernels::cross_entropy_kernels();
  const auto& training = kernels::cross_entropy_training_kernels();
  const int64_t* targets = rows.targets.const_data_ptr<int64_t>() + first;
  at::parallel_for(0, logits.size(0), 8, [&](int64_t begin, int64_t end) {
    std::vector<float> scratch(is_half(logits) ? static_cast<size_t>(vocabulary) : 0);
    for (int64_t r = begin; r < end; ++r) {
      if (targets[r] == rows.padding_idx) {
        losses[r] = 0;
        if (!gradient) continue;
        const size_t bytes = static_cast<size_t>(vocabulary) * logits.element_size();
        std::memset(static_cast<char*>(logits.mutable_data_ptr()) + static_cast<size_t>(r) * bytes, 0, bytes);
      } else if (is_half(logits)) {
        losses[r] = training.row_bf16(mutable_halves(logits) + r * vocabulary, vocabulary, targets[r],
                                      gradient, scratch.data());
      } else {
        losses[r] = kernel.row_f32(mutable_floats(logits) + r * vocabulary, vocabulary, targets[r], gradient);
      }
    }
  });
}

at::Tensor row_losses(const Rows& rows) {
  const at::Tensor losses = at::empty({rows.count()}, at::kFloat);
  for (int64_t first = 0; first < rows.count(); first += rows.chunk_rows) {
    const at::Tensor logits =
        product_forward(rows.features.narrow(0, first, rows.chunk(first)), rows.weight, at::Tensor());
    chunk_losses(rows, first, logits, false, mutable_floats(losses) + first);
  }
  return losses;
}

/// Losses and, for an upstream gradient of 1, the gradients of the features and of the weight: in the type of
/// the product when one chunk holds all rows, else summed in fp32.
struct Differentiated {
  at::Tensor losses, features, weight;
};

/// The gradients of a chunk's logits; its losses go to their place in `losses`.
at::Tensor logit_gradients(const Rows& rows, int64_t first, const at::Tensor& features,
                           const at::Tensor& losses) {
  const at::Tensor logits = product_forward(features, rows.weight, at::Tensor());
  chunk_losses(rows, first, logits, true, mutable_floats(losses) + first);
  return logits;
}

Differentiated differentiate(const Rows& rows, bool wants_features, bool wants_weight) {
  Differentiated result;
  result.losses = at::empty({rows.count()}, at::kFloat);
  if (rows.count() > 0 && rows.chunk(0) == rows.count()) {  // nothing to copy or to add up
    const at::Tensor logits = logit_gradients(rows, 0, rows.features, result.losses);
    if (wants_features) result.features = product_input_gradient(logits, rows.weight);
    if (wants_weight) result.weight = product_weight_gradient(logits, rows.features);
    return result;
  }
  if (wants_features) result.features = at::empty_like(rows.features);
  for (int64_t first = 0; first < rows.count(); first += rows.chunk_rows) {
    const int64_t count = rows.chunk(first);
    const at::Tensor features = rows.features.narrow(0, first, count);
    const at::Tensor logits = logit_gradients(rows, first, features, result.losses);
    if (wants_features)
      result.features.narrow(0, first, count).copy_(product_input_gradient(logits, rows.weight));
    if (!wants_weight) continue;
    const at::Tensor part = product_weight_gradient(logits, features);
    result.weight = result.weight.defined() ? result.weight.add_(part) : part.to(at::kFloat);
  }
  return result;
}

/// Moves a tensor out of the node, so that whoever receives it may add to it in place.
at::Tensor take(AutogradContext& context, const char* name) {
  const auto found = context.saved_data.find(name);
  if (found == context.saved_data.end()) return {};
  at::Tensor tensor = found->second.toTensor();
  context.saved_data.erase(found);
  return tensor;
}

using Representations = std::vector<std::shared_ptr<quant::Representation>>;

/// The gradients of the slots' parameters from that of all their rows together.
void split_gradient(const at::Tensor& weight_gradient, const Representations& representations,
                    variable_list& gradients) {
  int64_t first = 0;
  for (const auto& representation : representations) {
    const int64_t rows = representation->shape()[0];
    const bool wanted = weight_gradient.defined() && representation->parameter().requires_grad();
    gradients.push_back(wanted ? representation->parameter_gradient(weight_gradient.narrow(0, first, rows))
                               : at::Tensor());
    first += rows;
  }
}

struct ChunkedNll : public torch::autograd::Function<ChunkedNll> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& features,
                            const at::TensorList& parameters, const at::Tensor& weight,
                            const Representations& representations, const at::Tensor& targets,
                            const ChunkedLossOptions& options) {
    const Rows rows = make_rows(features, weight, targets, options);
    const bool wants_weight =
        std::any_of(parameters.begin(), parameters.end(),
                    [](const at::Tensor& parameter) { return parameter.requires_grad(); });
    const Differentiated result = differentiate(rows, features.requires_grad(), wants_weight);
    if (result.features.defined()) context->saved_data["features"] = result.features;
    if (result.weight.defined()) context->saved_data["weight"] = result.weight;
    c10::List<at::IValue> capsules(c10::AnyType::get());
    for (const auto& representation : representations) capsules.push_back(quant::capsule(representation));
    context->saved_data["representations"] = capsules;
    context->saved_data["shape"] = features.sizes().vec();
    context->saved_data["type"] = features.scalar_type();
    return result.losses.sum();
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    // The usual upstream gradient is 1: a pass over the weight less.
    const bool is_one = grads[0].item<float>() == 1.0f;
    at::Tensor features = take(*context, "features");
    at::Tensor weight = take(*context, "weight");
    QN_REQUIRE(features.defined() || weight.defined(), ErrorKind::kInternal,
               "loss: found a second backward pass, expected one for each forward pass, which computes the "
               "gradients");
    if (features.defined()) {
      features = features.to(context->saved_data["type"].toScalarType());
      features = (is_one ? features : features * grads[0]).view(context->saved_data["shape"].toIntVector());
    }
    if (weight.defined() && !is_one) weight = weight.to(at::kFloat) * grads[0];
    Representations representations;
    for (const at::IValue& held : context->saved_data["representations"].toList()) {
      representations.push_back(quant::uncapsule(held));
    }
    variable_list gradients = {features};
    split_gradient(weight, representations, gradients);
    gradients.resize(gradients.size() + 4);  // weight, representations, targets, options
    return gradients;
  }
};

int64_t vocabulary_of(const OutputSlots& slots) {
  int64_t rows = 0;
  for (const auto& slot : slots) rows += slot->representation().shape()[0];
  return rows;
}

void check_targets(const at::Tensor& features, const OutputSlots& slots, const at::Tensor& targets) {
  QN_INVARIANT(!slots.empty());
  const int64_t dim = slots.front()->representation().shape()[1];
  for (const auto& slot : slots) QN_INVARIANT(slot->representation().shape()[1] == dim);
  QN_REQUIRE(features.dim() >= 1 && features.size(-1) == dim && targets.scalar_type() == at::kLong &&
                 targets.numel() * dim == features.numel(),
             ErrorKind::kData, "loss: found features ", features.sizes(), " and targets ", targets.sizes(),
             ", expected ", dim, " features a target");
  if (targets.numel() == 0) return;
  const auto [lowest, highest] = at::aminmax(targets);
  const int64_t vocabulary = vocabulary_of(slots);
  QN_REQUIRE(lowest.item<int64_t>() >= 0 && highest.item<int64_t>() < vocabulary, ErrorKind::kData,
             "loss: found targets ", lowest.item<int64_t>(), " to ", highest.item<int64_t>(),
             ", expected 0 to ", vocabulary - 1);
}

at::Tensor matrix_value(const OutputSlots& slots, bool training) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> values;
  for (const auto& slot : slots) {
    const at::Tensor value = slot->value(training, quant::compute_type());
    values.push_back(value.view({value.size(0), -1}));
  }
  return values.size() == 1 ? values.front() : at::cat(values);
}

}  // namespace

at::Tensor chunked_nll_sum(const at::Tensor& features, const OutputSlots& slots, const at::Tensor& targets,
                           const ChunkedLossOptions& options) {
  check_targets(features, slots, targets);
  const at::Tensor weight = matrix_value(slots, options.training);
  std::vector<at::Tensor> parameters;
  Representations representations;
  bool differentiable = features.requires_grad();
  for (const auto& slot : slots) {
    parameters.push_back(slot->representation().parameter());
    representations.push_back(slot->shared_representation());
    differentiable = differentiable || parameters.back().requires_grad();
  }
  if (!at::GradMode::is_enabled() || !differentiable) {
    const at::NoGradGuard no_grad;
    return row_losses(make_rows(features, weight, targets, options)).sum();
  }
  return ChunkedNll::apply(features, at::TensorList(parameters), weight, representations, targets, options);
}

at::Tensor chunked_target_log_probs(const at::Tensor& features, const OutputSlots& slots,
                                    const at::Tensor& targets, const ChunkedLossOptions& options) {
  check_targets(features, slots, targets);
  const at::NoGradGuard no_grad;
  const Rows rows = make_rows(features, matrix_value(slots, options.training), targets, options);
  return row_losses(rows).neg_().view(targets.sizes());
}

}  // namespace quantnoise::nn
