#pragma once
// Activation functions by fairseq's names.

#include <cstdint>
#include <string>

#include "core/runtime/context.h"

namespace quantnoise::runtime {

enum class Activation { kRelu, kGelu, kGeluTanh, kTanh, kLinear };

/// "relu", "gelu" (erf), "gelu_accurate" and "gelu_fast" (tanh approximation), "tanh", "linear".
/// Errors: kFormat naming the choices.
Activation parse_activation(const std::string& name);

/// x: (count), in place.
void activate(Activation activation, float* x, int64_t count, const Context& context);

}  // namespace quantnoise::runtime
