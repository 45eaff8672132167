#pragma once
// Short declarations of options, under the name that the trainer's files use.

#include "quantnoise/config/option_group.h"

namespace quantnoise::train {

using config::OptionGroup;

/// Of every option that says how many.
inline constexpr int64_t kMostThreads = 1024;

}  // namespace quantnoise::train
