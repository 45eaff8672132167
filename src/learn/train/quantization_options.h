#pragma once
#include "quantnoise/config/options.h"

namespace quantnoise::train {

/// The groups of `qn train` about noise and quantization.
void declare_quantization_training(config::OptionTable& table);

}  // namespace quantnoise::train
