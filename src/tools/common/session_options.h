#pragma once
// Options of commands that run a model with the runtime.

#include <memory>

#include "quantnoise/config/options.h"
#include "quantnoise/runtime/language_model.h"

namespace quantnoise::tool {

/// --threads, --fast.
void declare_session(config::OptionTable& table);
runtime::SessionOptions session_options(const config::OptionValues& values);

/// "precise" or "fast".
const char* precision_name(const runtime::SessionOptions& options);

}  // namespace quantnoise::tool
