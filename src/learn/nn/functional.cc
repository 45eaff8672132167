#include "quantnoise/nn/functional.h"

#include <optional>

#include "learn/nn/product.h"
#include "learn/nn/row_sums.h"
#include "quantnoise/base/error.h"
#include "quantnoise/quant/capsule.h"

namespace quantnoise::nn {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor as_rows(const at::Tensor& tensor) { return tensor.reshape({-1, tensor.size(-1)}); }

struct SlotLinear : public torch::autograd::Function<SlotLinear> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& parameter,
                            const std::optional<at::Tensor>& bias, const at::Tensor& weight,
                            const std::shared_ptr<quant::Representation>& representation, bool has_relu) {
    const at::ScalarType type = weight.scalar_type();
    const at::Tensor matrix = weight.view({weight.size(0), -1});
    const at::Tensor rows = as_rows(x.to(type));
    at::Tensor result = product_forward(rows, matrix, bias ? bias->to(type) : at::Tensor());
    if (has_relu) result.relu_();
    context->save_for_backward({rows, matrix, has_relu ? result : at::Tensor()});
    context->saved_data["representation"] = quant::capsule(representation);
    context->saved_data["input_shape"] = x.sizes().vec();
    std::vector<int64_t> shape = x.sizes().vec();
    shape.back() = matrix.size(0);
    return result.view(shape);
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const variable_list saved = context->get_saved_variables();
    at::Tensor grad = as_rows(grads[0]).to(saved[0].scalar_type()).contiguous();
    at::Tensor input_gradient, parameter_gradient, bias_gradient;
    if (saved[2].defined()) {
      ReluGradient through_relu = relu_gradient(grad, saved[2]);
      grad = std::move(through_relu.gradient);
      bias_gradient = std::move(through_relu.row_sum);
    }
    if (context->needs_input_grad(0)) {
      input_gradient =
          product_input_gradient(grad, saved[1]).view(context->saved_data["input_shape"].toIntVector());
    }
    if (context->needs_input_grad(1)) {
      const auto representation = quant::uncapsule(context->saved_data["representation"]);
      parameter_gradient = representation->parameter_gradient(product_weight_gradient(grad, saved[0]));
    }
    // Counts tensors that are there: without a bias this is `weight`, which never needs one.
    if (!context->needs_input_grad(2)) {
      bias_gradient.reset();
    } else if (!bias_gradient.defined()) {
      bias_gradient = sum_rows(grad);
    }
    return {input_gradient, parameter_gradient, bias_gradient, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

// The same product with the transpose of the matrix.
struct SlotLinearTransposed : public torch::autograd::Function<SlotLinearTransposed> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& parameter,
                            const at::Tensor& weight,
                            const std::shared_ptr<quant::Representation>& representation) {
    const at::Tensor matrix = weight.view({weight.size(0), -1});
    const at::Tensor rows = as_rows(x.to(weight.scalar_type()));
    context->save_for_backward({rows, matrix});
    context->saved_data["representation"] = quant::capsule(representation);
    context->saved_data["input_shape"] = x.sizes().vec();
    std::vector<int64_t> shape = x.sizes().vec();
    shape.back() = matrix.size(1);
    return product_forward(rows, matrix.t(), at::Tensor()).view(shape);
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor grad = as_rows(grads[0]).to(saved[0].scalar_type()).contiguous();
    at::Tensor input_gradient, parameter_gradient;
    if (context->needs_input_grad(0)) {
      input_gradient =
          product_input_gradient(grad, saved[1].t()).view(context->saved_data["input_shape"].toIntVector());
    }
    if (context->needs_input_grad(1)) {
      const auto representation = quant::uncapsule(context->saved_data["representation"]);
      parameter_gradient = representation->parameter_gradient(product_weight_gradient(saved[0], grad));
    }
    return {input_gradient, parameter_gradient, at::Tensor(), at::Tensor()};
  }
};

struct SlotRows : public torch::autograd::Function<SlotRows> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& parameter, const at::Tensor& indices,
                            const at::Tensor& rows,
                            const std::shared_ptr<quant::Representation>& representation) {
    context->save_for_backward({indices});
    context->saved_data["representation"] = quant::capsule(representation);
    return rows.variable_data();
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto representation = quant::uncapsule(context->saved_data["representation"]);
    const at::Tensor indices = context->get_saved_variables()[0].reshape({-1});
    const at::Tensor grad_rows = grads[0].reshape({indices.numel(), -1});
    return {representation->parameter_gradient_rows(grad_rows, indices, representation->zero_row()),
            at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor slot_linear(const at::Tensor& x, const std::shared_ptr<quant::WeightSlot>& slot,
                       const at::Tensor& bias, bool training, Activation activation) {
  const quant::MatrixShape matrix = quant::matrix_shape(slot->representation().shape());
  QN_REQUIRE(x.dim() >= 1 && x.size(-1) == matrix.cols, ErrorKind::kData, "input of '", slot->name(),
             "': found shape ", x.sizes(), ", expected ", matrix.cols, " features in the last dimension");
  const std::optional<at::Tensor> optional_bias =
      bias.defined() ? std::optional<at::Tensor>(bias) : std::nullopt;
  const bool has_relu = activation == Activation::kRelu;
  const at::Tensor result = SlotLinear::apply(x, slot->representation().parameter(), optional_bias,
                                              slot->value(training, quant::compute_type()),
                                              slot->shared_representation(), has_relu);
  return has_relu ? result : activate(result, activation);
}

at::Tensor slot_linear_transposed(const at::Tensor& x, const std::shared_ptr<quant::WeightSlot>& slot,
                                  bool training) {
  const quant::MatrixShape matrix = quant::matrix_shape(slot->representation().shape());
  QN_REQUIRE(x.dim() >= 1 && x.size(-1) == matrix.rows, ErrorKind::kData, "input of the transpose of '",
             slot->name(), "': found shape ", x.sizes(), ", expected ", matrix.rows,
             " features in the last dimension");
  return SlotLinearTransposed::apply(x, slot->representation().parameter(),
                                     slot->value(training, quant::compute_type()),
                                     slot->shared_representation());
}

at::Tensor slot_rows(const at::Tensor& indices, const std::shared_ptr<quant::WeightSlot>& slot,
                     bool training) {
  return SlotRows::apply(slot->representation().parameter(), indices, slot->rows(indices, training),
                         slot->shared_representation());
}

}  // namespace quantnoise::nn
