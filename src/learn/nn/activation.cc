#include "quantnoise/nn/activation.h"

#include <array>

#include "quantnoise/base/error.h"
#include "quantnoise/nn/fused.h"

namespace quantnoise::nn {

namespace {

constexpr std::array<std::pair<const char*, Activation>, 6> kActivations = {{
    {"relu", Activation::kRelu},
    {"gelu", Activation::kGelu},
    {"gelu_accurate", Activation::kGeluAccurate},
    {"gelu_fast", Activation::kGeluAccurate},
    {"tanh", Activation::kTanh},
    {"linear", Activation::kLinear},
}};

}  // namespace

const std::vector<std::string>& activation_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> list;
    for (const auto& [name, activation] : kActivations) list.push_back(name);
    return list;
  }();
  return names;
}

Activation parse_activation(const std::string& name) {
  for (const auto& [known, activation] : kActivations) {
    if (name == known) return activation;
  }
  throw Error(ErrorKind::kConfig, str_cat("activation function: found '", name, "', expected one of ",
                                          join(activation_names(), ", ")));
}

at::Tensor activate(const at::Tensor& x, Activation activation) {
  switch (activation) {
    case Activation::kRelu:
      return at::relu(x);
    case Activation::kGelu:
      return at::gelu(x);
    case Activation::kGeluAccurate:
      return at::gelu(x, "tanh");
    case Activation::kTanh:
      return at::tanh(x);
    case Activation::kLinear:
      break;
  }
  return x;
}

at::Tensor activate_dropout(const at::Tensor& x, Activation activation, double p,
                            const base::RandomStream& stream) {
  if (activation == Activation::kRelu) return relu_dropout(x, p, stream);
  return dropout(activate(x, activation), p, stream);
}

}  // namespace quantnoise::nn
