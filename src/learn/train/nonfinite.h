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

/// Runs `forward` again and watches the layers' products: describes the first layer that meets or gives
/// values that are not finite, else the last one with good values. Empty: no layer was seen.
std::string first_nonfinite_layer(torch::nn::Module& model, at::ScalarType compute_type,
                                  const std::function<void()>& forward);

/// Name of the parameter nearest to the loss whose gradient is not finite; empty: none.
std::string nonfinite_gradient(const std::vector<quant::NamedParameter>& parameters);

}  // namespace quantnoise::train
