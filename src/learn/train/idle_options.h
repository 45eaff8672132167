#pragma once
// Options of `qn train` that wait for another one.

#include <string>
#include <vector>

#include "quantnoise/config/options.h"

namespace quantnoise::train {

/// Options given that change nothing beside the others: those of another optimizer or schedule, of noise that
/// is not there. In the order of the rules. Errors: those of scalar_setup() and activation_setup().
std::vector<std::string> idle_options(const config::OptionValues& values);

}  // namespace quantnoise::train
