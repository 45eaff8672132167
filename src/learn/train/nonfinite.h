#pragma once
// Finds the culprit when numbers stop being finite.

#include <torch/torch.h>

#include <functional>
#include <string>
#include <vector>

#include "quantnoise/quant/slot.h"

namespace quantnoise::train {

/// Name of the first parameter with values that are not finite; empty: none.
std::string first_nonfinite_parameter(const torch::nn::Module& model);

/// Runs `forward` again and watches every operator: describes the first result that is not finite and the layer it
/// belongs to. Empty: all were finite.
std::string first_nonfinite_layer(torch::nn::Module& model, at::ScalarType compute_type,
                                  const std::function<void()>& forward);

/// Name of the parameter nearest to the loss whose gradient is not finite; empty: none.
std::string nonfinite_gradient(const std::vector<quant::NamedParameter>& parameters);

}  // namespace quantnoise::train
