#pragma once
// What the options say about scalar quantization of weights.

#include <optional>

#include "quantnoise/config/options.h"
#include "quantnoise/quant/scalar.h"

namespace quantnoise::train {

struct ScalarSetup {
  quant::ScalarOptions options;
  double probability = 0;     ///< of noise in training
  quant::LayerFilter filter;  ///< the layers meant
};

/// Of --quant-noise-scalar and --scalar-…; nothing when weights are not to be quantized: neither noise nor
/// bits are given. Errors: kConfig for a broken regular expression.
std::optional<ScalarSetup> scalar_setup(const config::OptionValues& values);

/// The method and the patterns, for commands without noise. bits: 2 … 8.
ScalarSetup scalar_setup_without_noise(const config::OptionValues& values, int bits);

/// "int2" … "int8" → bits. Errors: kConfig naming the choices.
int parse_scalar_scheme(const std::string& name);

}  // namespace quantnoise::train
