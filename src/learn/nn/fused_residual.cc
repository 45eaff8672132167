// dropout(branch) + residual and the normalization of the sum: one pass over the rows, forward and backward.

#include "learn/nn/element_passes.h"
#include "quantnoise/kernels/dropout.h"
#include "quantnoise/kernels/layer_norm.h"
#include "quantnoise/nn/fused.h"
#include "quantnoise/quant/context.h"

namespace quantnoise::nn {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Rows that stay in the first-level cache from the addition to the normalization; also the unit of the sums
// for γ and β, fixed so that these do not depend on the threads.
constexpr int64_t kRowsAtOnce = 16;

/// sum = residual + dropout(branch) over a range of elements; without dropout the draws have threshold 0.
void add_range(const kernels::DropoutDraws& draws, const at::Tensor& residual, const at::Tensor& branch,
               int64_t first, int64_t count, float* sum) {
  const auto draw = static_cast<uint64_t>(first);
  const auto& kernel = kernels::dropout_kernels();
  if (is_half(branch)) {
    kernel.bf16_to_f32(draws, draw, count, halves(branch) + first, floats(residual) + first, sum);
  } else {
    kernel.f32(draws, draw, count, floats(branch) + first, floats(residual) + first, sum);
  }
}

/// The gradient of the branch over a range.
void branch_range(const kernels::DropoutDraws& draws, const float* gradient, int64_t first, int64_t count,
                  const at::Tensor& out) {
  const auto draw = static_cast<uint64_t>(first);
  const auto& kernel = kernels::dropout_kernels();
  if (is_half(out)) {
    kernel.f32_to_bf16(draws, draw, count, gradient, mutable_halves(out) + first);
  } else {
    kernel.f32(draws, draw, count, gradient, nullptr, mutable_floats(out) + first);
  }
}

struct ResidualAdd : public torch::autograd::Function<ResidualAdd> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& residual_in,
                            const at::Tensor& branch_in, double p, const base::RandomStream& stream) {
    const at::Tensor residual = residual_in.contiguous(), branch = branch_in.contiguous();
    const at::Tensor sum = at::empty_like(residual);
    const kernels::DropoutDraws draws = kernels::dropout_draws(stream, p);
    for_elements(sum.numel(), [&](int64_t first, int64_t count) {
      add_range(draws, residual, branch, first, count, mutable_floats(sum) + first);
    });
    context->saved_data["p"] = p;
    context->saved_data["stream"] = stream_words(stream);
    context->saved_data["half"] = is_half(branch);
    return sum;
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const at::Tensor gradient = grads[0].contiguous();
    const bool half = context->saved_data["half"].toBool();
    const at::Tensor branch =
        at::empty(gradient.sizes(), gradient.options().dtype(half ? at::kBFloat16 : at::kFloat));
    const kernels::DropoutDraws draws = kernels::dropout_draws(
        stream_from_words(context->saved_data["stream"].toIntVector()), context->saved_data["p"].toDouble());
    for_elements(gradient.numel(), [&](int64_t first, int64_t count) {
      branch_range(draws, floats(gradient) + first, first, count, branch);
    });
    return {gradient, branch, at::Tensor(), at::Tensor()};
  }
};

/// What the normalization of a sum saves and both passes share.
struct NormTensors {
  at::Tensor sum, gamma, beta, mean, inverse_std;
  double epsilon = 0;

  int64_t cols() const { return sum.size(-1); }
  int64_t rows() const { return sum.numel() / cols(); }

  kernels::LayerNormRows range(int64_t first_row, int64_t num_rows) const {
    kernels::LayerNormRows range;
    range.x = floats(sum) + first_row * cols();
    range.gamma = floats(gamma);
    range.beta = beta.defined() ? floats(beta) : nullptr;
    range.rows = num_rows;
    range.cols = cols();
    range.epsilon = static_cast<float>(epsilon);
    range.mean = mutable_floats(mean) + first_row;
    range.inverse_std = mutable_floats(inverse_std) + first_row;
    return range;
  }
};

template <typename Body>
void for_rows(int64_t rows, const Body& body) {
  at::parallel_for(0, (rows + kRowsAtOnce - 1) / kRowsAtOnce, 4, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      const int64_t first = part * kRowsAtOnce;
      body(part, first, std::min(kRowsAtOnce, rows - first));
    }
  });
}

/// (sum, normalized sum) of residual + dropout(branch); branch may be undefined.
struct ResidualNorm : public torch::autograd::Function<ResidualNorm> {
  // Inputs that may be undefined are optional: autograd asks every plain tensor for its device.
  static variable_list forward(AutogradContext* context, const at::Tensor& residual_in,
                               const std::optional<at::Tensor>& branch_in, const at::Tensor& gamma,
                               const std::optional<at::Tensor>& beta, double epsilon, at::ScalarType type,
                               double p, const base::RandomStream& stream) {
    const at::Tensor residual = residual_in.contiguous();
    const at::Tensor branch = branch_in.has_value() ? branch_in->contiguous() : at::Tensor();
    NormTensors norm;
    norm.sum = branch.defined() ? at::empty_like(residual) : residual;
    norm.gamma = gamma;
    norm.beta = beta.value_or(at::Tensor());
    norm.epsilon = epsilon;
    norm.mean = at::empty({norm.rows()}, residual.options());
    norm.inverse_std = at::empty({norm.rows()}, residual.options());
    const at::Tensor out = at::empty(residual.sizes(), residual.options().dtype(type));
    const kernels::DropoutDraws draws = kernels::dropout_draws(stream, p);
    const auto& kernel = kernels::layer_norm_kernels();
    const auto& training = kernels::layer_norm_training_kernels();
    for_rows(norm.rows(), [&](int64_t, int64_t row, int64_t rows) {
      const int64_t first = row * norm.cols();
      if (branch.defined()) {
        add_range(draws, residual, branch, first, rows * norm.cols(), mutable_floats(norm.sum) + first);
      }
      if (is_half(out)) {
        training.forward_bf16(norm.range(row, rows), mutable_halves(out) + first);
      } else {
        kernel.forward_f32(norm.range(row, rows), mutable_floats(out) + first);
      }
    });
    context->save_for_backward({norm.sum, gamma, norm.mean, norm.inverse_std});
    context->saved_data["epsilon"] = epsilon;
    context->saved_data["p"] = p;
    context->saved_data["stream"] = stream_words(stream);
    context->saved_data["branch"] = !branch.defined() ? 0 : is_half(branch) ? 2 : 4;
    context->set_materialize_grads(false);
    if (!branch.defined()) return {out};
    return {norm.sum, out};
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const variable_list saved = context->get_saved_variables();
    const int64_t branch_bytes = context->saved_data["branch"].toInt();
    NormTensors norm{saved[0], saved[1], at::Tensor(),
                     saved[2], saved[3], context->saved_data["epsilon"].toDouble()};
    const at::Tensor added = branch_bytes != 0 && grads[0].defined() ? grads[0].contiguous() : at::Tensor();
    const at::Tensor out_gradient =
        grads.back().defined() ? grads.back().contiguous() : at::zeros_like(norm.sum);
    const at::Tensor gradient = at::empty_like(norm.sum);
    const at::Tensor branch =
        branch_bytes == 0
            ? at::Tensor()
            : at::empty(gradient.sizes(),
                        gradient.options().dtype(branch_bytes == 2 ? at::kBFloat16 : at::kFloat));
    const int64_t parts = (norm.rows() + kRowsAtOnce - 1) / kRowsAtOnce;
    const at::Tensor sums = at::zeros({2, parts, norm.cols()}, gradient.options());
    const kernels::DropoutDraws draws = kernels::dropout_draws(
        stream_from_words(context->saved_data["stream"].toIntVector()), context->saved_data["p"].toDouble());
    for_rows(norm.rows(), [&](int64_t part, int64_t row, int64_t rows) {
      const int64_t first = row * norm.cols();
      kernels::LayerNormGradients to;
      to.added = added.defined() ? floats(added) + first : nullptr;
      to.x_gradient = mutable_floats(gradient) + first;
      to.gamma_sum = mutable_floats(sums) + part * norm.cols();
      to.beta_sum = to.gamma_sum + parts * norm.cols();
      differentiate(norm.range(row, rows), out_gradient, first, to);
      if (branch.defined()) branch_range(draws, to.x_gradient, first, rows * norm.cols(), branch);
    });
    const at::Tensor totals = sums.sum(1);
    return {gradient, branch, totals[0], totals[1], at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
  }

  static void differentiate(const kernels::LayerNormRows& rows, const at::Tensor& gradient, int64_t first,
                            const kernels::LayerNormGradients& to) {
    const auto& kernel = kernels::layer_norm_training_kernels();
    if (is_half(gradient)) {
      kernel.backward_bf16(rows, halves(gradient) + first, to);
    } else {
      kernel.backward_f32(rows, floats(gradient) + first, to);
    }
  }
};

variable_list residual_norm(const at::Tensor& residual, const at::Tensor& branch, LayerNorm& norm,
                            at::ScalarType type, double p, const base::RandomStream& stream) {
  QN_REQUIRE(residual.size(-1) == norm->dim(), ErrorKind::kData, "layer norm: found shape ", residual.sizes(),
             ", expected ", norm->dim(), " features in the last dimension");
  const auto optional = [](const at::Tensor& t) { return t.defined() ? std::optional(t) : std::nullopt; };
  return ResidualNorm::apply(residual, optional(branch), norm->weight, optional(norm->bias), norm->epsilon(),
                             type, p, stream);
}

}  // namespace

void ResidualStream::add(at::Tensor branch, double p, const base::RandomStream& stream) {
  QN_REQUIRE(branch.sizes() == sum_.sizes(), ErrorKind::kData, "residual addition: found shape ",
             branch.sizes(), ", expected ", sum_.sizes());
  require_fused_input(branch, p);
  sum_ = sum();
  branch_ = std::move(branch);
  p_ = p;
  stream_ = stream;
}

at::Tensor ResidualStream::sum() {
  if (branch_.defined()) {
    sum_ = ResidualAdd::apply(sum_, branch_, p_, stream_);
    branch_.reset();
  }
  return sum_;
}

at::Tensor ResidualStream::normalized(LayerNorm& norm) {
  const variable_list results = residual_norm(sum_, branch_, norm, quant::compute_type(), p_, stream_);
  if (branch_.defined()) sum_ = results[0];
  branch_.reset();
  return results.back();
}

void ResidualStream::normalize(LayerNorm& norm) {
  sum_ = residual_norm(sum_, branch_, norm, at::kFloat, p_, stream_).back();
  branch_.reset();
}

LayerNormImpl::LayerNormImpl(int64_t dim, double epsilon) : epsilon_(epsilon) {
  QN_REQUIRE(dim > 0, ErrorKind::kConfig, "LayerNorm: found ", dim, " features, expected at least 1");
  weight = register_parameter("weight", at::ones({dim}));
  bias = register_parameter("bias", at::zeros({dim}));
}

at::Tensor LayerNormImpl::forward(const at::Tensor& x) {
  ResidualStream stream(x);
  LayerNorm self(std::dynamic_pointer_cast<LayerNormImpl>(shared_from_this()));
  return stream.normalized(self);
}

}  // namespace quantnoise::nn
