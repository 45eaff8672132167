#include "tools/common/session_options.h"

#include <algorithm>

#include "quantnoise/base/parallel.h"
#include "quantnoise/config/option_group.h"

namespace quantnoise::tool {

void declare_session(config::OptionTable& table) {
  config::OptionGroup group(table, "machine");
  group.integer("threads", "", "threads of computation; default: one for each core")
      .min(1)
      .max(runtime::kMostThreads);
  group.flag("fast", "look-up tables of 8 bits instead of 16: faster, a little less exact");
}

runtime::SessionOptions session_options(const config::OptionValues& values) {
  runtime::SessionOptions options;
  options.num_threads = values.has_value("threads")
                            ? static_cast<int>(values.get_int("threads"))
                            : std::min(base::default_num_threads(), runtime::kMostThreads);
  if (values.get_bool("fast")) options.arithmetic = runtime::Arithmetic::kFast;
  return options;
}

const char* precision_name(const runtime::SessionOptions& options) {
  return options.arithmetic == runtime::Arithmetic::kFast ? "fast" : "precise";
}

}  // namespace quantnoise::tool
