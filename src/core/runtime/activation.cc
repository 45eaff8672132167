#include "core/runtime/activation.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "quantnoise/base/error.h"

namespace quantnoise::runtime {

namespace {

constexpr std::array<std::pair<const char*, Activation>, 6> kActivations = {{
    {"relu", Activation::kRelu},
    {"gelu", Activation::kGelu},
    {"gelu_accurate", Activation::kGeluTanh},
    {"gelu_fast", Activation::kGeluTanh},
    {"tanh", Activation::kTanh},
    {"linear", Activation::kLinear},
}};

float gelu(float x) { return 0.5f * x * (1.0f + std::erf(x * 0.70710678118654752440f)); }

// 0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³)))
float gelu_tanh(float x) {
  return 0.5f * x * (1.0f + std::tanh(0.79788456080286535588f * (x + 0.044715f * x * x * x)));
}

void activate_part(Activation activation, float* x, int64_t count) {
  switch (activation) {
    case Activation::kRelu:
      for (int64_t i = 0; i < count; ++i) x[i] = x[i] < 0 ? 0.0f : x[i];  // NaN stays
      return;
    case Activation::kGelu:
      for (int64_t i = 0; i < count; ++i) x[i] = gelu(x[i]);
      return;
    case Activation::kGeluTanh:
      for (int64_t i = 0; i < count; ++i) x[i] = gelu_tanh(x[i]);
      return;
    case Activation::kTanh:
      for (int64_t i = 0; i < count; ++i) x[i] = std::tanh(x[i]);
      return;
    case Activation::kLinear:
      return;
  }
}

}  // namespace

Activation parse_activation(const std::string& name) {
  std::vector<std::string> known;
  for (const auto& [known_name, activation] : kActivations) {
    if (name == known_name) return activation;
    known.emplace_back(known_name);
  }
  throw Error(ErrorKind::kFormat,
              str_cat("activation function: found '", name, "', expected one of ", join(known, ", ")));
}

void activate(Activation activation, float* x, int64_t count, const Context& context) {
  constexpr int64_t kPart = 4096;
  constexpr int64_t kCostOfOne = 10;  // in multiplications
  if (activation == Activation::kLinear) return;
  const int64_t work = activation == Activation::kRelu ? count : count * kCostOfOne;
  for_each_part(context, (count + kPart - 1) / kPart, work, [&](int64_t part) {
    activate_part(activation, x + part * kPart, std::min(kPart, count - part * kPart));
  });
}

}  // namespace quantnoise::runtime
