#include "learn/nn/element_passes.h"
#include "quantnoise/kernels/dropout.h"
#include "quantnoise/nn/fused.h"

namespace quantnoise::nn {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor apply_draws(const at::Tensor& x, double p, const base::RandomStream& stream) {
  const at::Tensor in = x.contiguous();
  const at::Tensor out = at::empty_like(in);
  const kernels::DropoutDraws draws = kernels::dropout_draws(stream, p);
  const auto& kernel = kernels::dropout_kernels();
  for_elements(in.numel(), [&](int64_t first, int64_t count) {
    const auto draw = static_cast<uint64_t>(first);
    if (is_half(in)) {
      kernel.bf16(draws, draw, count, halves(in) + first, mutable_halves(out) + first);
    } else {
      kernel.f32(draws, draw, count, floats(in) + first, nullptr, mutable_floats(out) + first);
    }
  });
  return out;
}

struct Dropout : public torch::autograd::Function<Dropout> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, double p,
                            const base::RandomStream& stream) {
    context->saved_data["p"] = p;
    context->saved_data["stream"] = stream_words(stream);
    return apply_draws(x, p, stream);
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const base::RandomStream stream = stream_from_words(context->saved_data["stream"].toIntVector());
    return {apply_draws(grads[0], context->saved_data["p"].toDouble(), stream), at::Tensor(), at::Tensor()};
  }
};

struct ReluDropout : public torch::autograd::Function<ReluDropout> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, double p,
                            const base::RandomStream& stream) {
    const at::Tensor in = x.contiguous();
    const at::Tensor out = at::empty_like(in);
    const kernels::DropoutDraws draws = kernels::dropout_draws(stream, p);
    const auto& kernel = kernels::dropout_kernels();
    for_elements(in.numel(), [&](int64_t first, int64_t count) {
      const auto draw = static_cast<uint64_t>(first);
      if (is_half(in)) {
        kernel.relu_bf16(draws, draw, count, halves(in) + first, mutable_halves(out) + first);
      } else {
        kernel.relu_f32(draws, draw, count, floats(in) + first, mutable_floats(out) + first);
      }
    });
    context->save_for_backward({out});
    context->saved_data["scale"] = static_cast<double>(draws.scale);
    return out;
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const at::Tensor result = context->get_saved_variables()[0];
    const at::Tensor gradient = grads[0].contiguous();
    const at::Tensor out = at::empty_like(result);
    const float scale = static_cast<float>(context->saved_data["scale"].toDouble());
    const auto& kernel = kernels::dropout_kernels();
    for_elements(result.numel(), [&](int64_t first, int64_t count) {
      if (is_half(result)) {
        kernel.relu_backward_bf16(halves(gradient) + first, halves(result) + first, count, scale,
                                  mutable_halves(out) + first);
      } else {
        kernel.relu_backward_f32(floats(gradient) + first, floats(result) + first, count, scale,
                                 mutable_floats(out) + first);
      }
    });
    return {out, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor dropout(const at::Tensor& x, double p, const base::RandomStream& stream) {
  if (p == 0) return x;
  require_fused_input(x, p);
  return Dropout::apply(x, p, stream);
}

at::Tensor relu_dropout(const at::Tensor& x, double p, const base::RandomStream& stream) {
  if (p == 0) return at::relu(x);
  require_fused_input(x, p);
  return ReluDropout::apply(x, p, stream);
}

}  // namespace quantnoise::nn
