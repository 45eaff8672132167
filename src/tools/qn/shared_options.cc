#include "tools/qn/shared_options.h"

#include "quantnoise/kernels/instruction_set.h"
#include "quantnoise/train/option_group.h"
#include "quantnoise/train/options.h"
#include "tools/common/terminal.h"

namespace quantnoise::tool {

void declare_threads(config::OptionTable& table) {
  train::OptionGroup group(table, train::option_group::kMachine);
  group.integer("threads", "", "threads of computation; default: one for each core")
      .min(1)
      .max(train::kMostThreads);
}

void apply_threads(const config::OptionValues& values) {
  if (values.has_value("threads")) at::set_num_threads(static_cast<int>(values.get_int("threads")));
}

void declare_precision(config::OptionTable& table) {
  train::OptionGroup group(table, train::option_group::kMachine);
  group.flag("bf16", "matrix products in bfloat16 instead of fp32");
  group.flag("fp16", "on a CPU this means --bf16");
  group.flag("amp", "--bf16 if the processor multiplies bfloat16 itself, else fp32");
}

at::ScalarType compute_type_of(const config::OptionValues& values) {
  if (values.get_bool("fp16")) print_message("--fp16 on a CPU means bfloat16");
  const bool asked = values.get_bool("fp16") || values.get_bool("bf16");
  return asked || (values.get_bool("amp") && kernels::has_bf16_products()) ? at::kBFloat16 : at::kFloat;
}

train::Output terminal_output() {
  train::Output output;
  output.result = print_result;
  output.message = print_message;
  if (stderr_is_terminal()) output.status = print_status;
  return output;
}

}  // namespace quantnoise::tool
