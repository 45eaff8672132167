#pragma once
// Declarations of the options of quantized inputs.

#include "quantnoise/train/option_group.h"

namespace quantnoise::train {

/// In training.
void declare_activations(OptionGroup& group);
/// Without training.
void declare_calibration(OptionGroup& group);

}  // namespace quantnoise::train
