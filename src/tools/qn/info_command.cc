// qn info: what this program will use on this machine.

#include <ATen/Version.h>
#include <torch/torch.h>
#include <torch/version.h>

#include <nlohmann/json.hpp>

#include "quantnoise/base/error.h"
#include "quantnoise/kernels/instruction_set.h"
#include "quantnoise/train/option_group.h"
#include "tools/common/terminal.h"
#include "tools/common/version.h"
#include "tools/qn/commands.h"
#include "tools/qn/shared_options.h"

namespace quantnoise::tool {

namespace {

void declare(config::OptionTable& table) {
  train::OptionGroup group(table, "output");
  group.flag("json", "one JSON object");
  declare_threads(table);
}

std::vector<std::string> kernel_names() {
  std::vector<std::string> names;
  for (const kernels::InstructionSet* table : kernels::available_instruction_sets())
    names.push_back(table->name);
  return names;
}

int run(const Invocation& invocation) {
  apply_threads(invocation.values);
  const std::string kernels_used = kernels::instruction_set().name;
  if (invocation.values.get_bool("json")) {
    const nlohmann::json object = {{"version", kVersion},
                                   {"torch", TORCH_VERSION},
                                   {"torch_cpu_capability", at::get_cpu_capability()},
                                   {"threads", at::get_num_threads()},
                                   {"cpu", kernels::cpu_description()},
                                   {"kernels", kernels_used},
                                   {"kernels_available", kernel_names()}};
    print_result(object.dump(2));
    return 0;
  }
  print_result(str_cat("quantnoise  ", kVersion));
  print_result(str_cat("torch       ", TORCH_VERSION, ", ", at::get_cpu_capability()));
  print_result(str_cat("threads     ", at::get_num_threads()));
  print_result(str_cat("cpu         ", kernels::cpu_description()));
  print_result(str_cat("kernels     ", kernels_used, " (available: ", join(kernel_names(), ", "),
                       "; the environment variable QN_CPU forces one)"));
  return 0;
}

}  // namespace

Command info_command() {
  Command command;
  command.name = "info";
  command.summary = "Shows versions, processor, chosen kernels and threads.";
  command.takes_recipe = false;
  command.declare = declare;
  command.run = run;
  return command;
}

}  // namespace quantnoise::tool
