#pragma once
// Activation functions by fairseq's names.

#include <torch/torch.h>

#include <string>
#include <vector>

#include "quantnoise/base/random.h"

namespace quantnoise::nn {

enum class Activation { kRelu, kGelu, kGeluAccurate, kTanh, kLinear };

/// "relu", "gelu" (erf), "gelu_accurate" and "gelu_fast" (tanh approximation), "tanh", "linear".
/// Errors: kConfig naming the choices.
Activation parse_activation(const std::string& name);
const std::vector<std::string>& activation_names();

at::Tensor activate(const at::Tensor& x, Activation activation);

/// dropout(activate(x), p, stream).
at::Tensor activate_dropout(const at::Tensor& x, Activation activation, double p,
                            const base::RandomStream& stream);

}  // namespace quantnoise::nn
