#include "learn/nn/product.h"

#include <ATen/core/dispatch/Dispatcher.h>

#include "quantnoise/kernels/instruction_set.h"

namespace quantnoise::nn {

namespace {

using LinearPointwise = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&,
                                   c10::string_view, c10::List<std::optional<at::Scalar>>,
                                   std::optional<c10::string_view>);

// The operator that torch's compiler uses for Linear; null in a build of torch without oneDNN or with another
// signature.
const c10::TypedOperatorHandle<LinearPointwise>* onednn_linear() {
  static const std::optional<c10::TypedOperatorHandle<LinearPointwise>> handle =
      []() -> std::optional<c10::TypedOperatorHandle<LinearPointwise>> {
    const auto found = c10::Dispatcher::singleton().findSchema({"mkldnn::_linear_pointwise", ""});
    if (!found || !at::globalContext().hasMKLDNN()) return std::nullopt;
    try {
      return found->typed<LinearPointwise>();
    } catch (const c10::Error&) {
      return std::nullopt;
    }
  }();
  return handle ? &*handle : nullptr;
}

// Torch's own choice is MKL, which is fast on Intel's processors alone. By the maker, not by a measurement:
// the same machine must always give the same bits.
bool mkl_is_slow() {
#if defined(__x86_64__)
  static const bool is_intel = __builtin_cpu_is("intel");
  return !is_intel;
#else
  return true;
#endif
}

// oneDNN's set-up costs some microseconds: small products stay with torch.
bool prefer_onednn(const at::Tensor& a, int64_t rows, int64_t inner, int64_t cols) {
  constexpr int64_t kSmallProduct = int64_t{1} << 20;
  return mkl_is_slow() && a.is_cpu() && a.scalar_type() == at::kFloat &&
         rows * inner * cols >= kSmallProduct && onednn_linear() != nullptr;
}

// Torch first writes the bias into all rows and then adds the product to them; oneDNN adds it on the way.
bool prefer_onednn_for_bias(const at::Tensor& x, const at::Tensor& bias) {
  return bias.defined() && x.is_cpu() && x.scalar_type() == at::kBFloat16 && onednn_linear() != nullptr;
}

// a bᵀ + bias; b may be a transposed view.
at::Tensor onednn_product(const at::Tensor& a, const at::Tensor& b, const at::Tensor& bias) {
  const std::optional<at::Tensor> optional_bias =
      bias.defined() ? std::optional<at::Tensor>(bias) : std::nullopt;
  return onednn_linear()->call(a, b, optional_bias, "none", c10::List<std::optional<at::Scalar>>(), "");
}

// Without instructions for bfloat16, torch emulates the product at a fifth of the speed of fp32. Operands of
// bfloat16 are exact in fp32, and the sums are fp32 either way.
bool must_widen(const at::Tensor& a) {
  static const bool is_native = kernels::has_bf16_products();
  return !is_native && a.is_cpu() && a.scalar_type() == at::kBFloat16;
}

at::Tensor widened(const at::Tensor& tensor) { return tensor.defined() ? tensor.to(at::kFloat) : tensor; }

}  // namespace

at::Tensor product_forward(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  if (must_widen(x)) return product_forward(widened(x), widened(weight), widened(bias)).to(at::kBFloat16);
  if (prefer_onednn(x, x.size(0), x.size(1), weight.size(0)) || prefer_onednn_for_bias(x, bias)) {
    return onednn_product(x, weight, bias);
  }
  return bias.defined() ? at::linear(x, weight, bias) : at::linear(x, weight);
}

at::Tensor product_input_gradient(const at::Tensor& grad, const at::Tensor& weight) {
  if (must_widen(grad)) return product_input_gradient(widened(grad), widened(weight)).to(at::kBFloat16);
  if (prefer_onednn(grad, grad.size(0), grad.size(1), weight.size(1))) {
    return onednn_product(grad, weight.t(), at::Tensor());
  }
  return at::mm(grad, weight);
}

at::Tensor product_weight_gradient(const at::Tensor& grad, const at::Tensor& x) {
  // Left in fp32: that is what whoever adds it up wants.
  if (must_widen(grad)) return product_weight_gradient(widened(grad), widened(x));
  if (prefer_onednn(grad, grad.size(1), grad.size(0), x.size(1))) {
    // The operator copies a transposed first factor: the smaller of the two takes that place.
    if (grad.size(1) <= x.size(1)) return onednn_product(grad.t(), x.t(), at::Tensor());
    return onednn_product(x.t(), grad.t(), at::Tensor()).t().contiguous();
  }
  return at::mm(grad.t(), x);
}

}  // namespace quantnoise::nn
