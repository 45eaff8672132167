#pragma once
#include <torch/torch.h>

#include "quantnoise/base/random.h"

namespace quantnoise::nn {

/// A random stream for the activations of one module at the current noise clock; `name` is the module's path
/// or any unique text with a purpose suffix (".dropout", ".attention").
base::RandomStream activation_stream(const std::string& name);

}  // namespace quantnoise::nn
