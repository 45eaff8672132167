#pragma once
// Short declarations of options, under the name that the trainer's files use.

#include "quantnoise/config/option_group.h"

namespace quantnoise::train {

using config::OptionGroup;

}  // namespace quantnoise::train
