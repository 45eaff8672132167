#pragma once
// A sub-command of `qn`: what it is called, what it accepts, what it does. One source file each.

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "quantnoise/config/options.h"

namespace quantnoise::tool {

/// What a user asked a sub-command for.
struct Invocation {
  std::shared_ptr<const config::OptionTable> table;  ///< what `values` refers to
  config::OptionValues values;
  /// Every value of the options that may be repeated, in order.
  std::map<std::string, std::vector<std::string>> repeated;
};

struct Command {
  std::string name;
  std::string summary;  ///< one line
  std::string details;  ///< a paragraph for the help text; may be empty
  std::vector<std::string> examples;
  std::vector<std::string> positional;  ///< options that are given by place, all of them required
  std::vector<std::string> repeatable;  ///< options whose every value counts
  bool takes_recipe = true;             ///< --config FILE and --dump-config
  void (*declare)(config::OptionTable& table) = nullptr;
  /// Sets the defaults that depend on other options, for --dump-config to show; null: there are none.
  void (*apply_defaults)(config::OptionValues& values) = nullptr;
  int (*run)(const Invocation& invocation) = nullptr;  ///< returns the exit code
};

/// All sub-commands, in the order of the help text.
const std::vector<Command>& commands();

Command preprocess_command();
Command train_command();
Command quantize_command();
Command eval_lm_command();
Command generate_command();
Command export_command();
Command inspect_command();
Command info_command();

}  // namespace quantnoise::tool
