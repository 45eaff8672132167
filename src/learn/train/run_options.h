#pragma once
// What all runs ask of their options.

#include "learn/train/progress.h"
#include "quantnoise/config/options.h"

namespace quantnoise::train {

/// Of --threads; 0: one for each core.
inline int num_threads(const config::OptionValues& values) {
  return values.has_value("threads") ? static_cast<int>(values.get_int("threads")) : 0;
}

inline LogFormat log_format(const config::OptionValues& values, const Output& output, bool no_progress_bar) {
  const std::string name = values.has_value("log-format") ? values.get_string("log-format") : "";
  return choose_log_format(name, output.status != nullptr, no_progress_bar);
}

}  // namespace quantnoise::train
