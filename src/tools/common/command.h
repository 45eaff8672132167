#pragma once
// A program of sub-commands, and a sub-command: what it is called, what it accepts, what it does.

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "quantnoise/base/error.h"
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
  std::vector<std::string> positional;  ///< options that are given by place
  bool requires_positional = true;
  std::vector<std::string> repeatable;  ///< options whose every value counts
  bool takes_recipe = true;             ///< --config FILE and --dump-config
  void (*declare)(config::OptionTable& table) = nullptr;
  /// Sets the defaults that depend on other options, for --dump-config to show; null: there are none.
  void (*apply_defaults)(config::OptionValues& values) = nullptr;
  int (*run)(const Invocation& invocation) = nullptr;  ///< returns the exit code
};

struct Program {
  std::string name;
  std::string introduction;       ///< one sentence
  std::vector<Command> commands;  ///< in the order of the help text
  /// Reads a recipe (--config) into values; null where no command takes one.
  void (*apply_recipe)(const std::string& path, config::OptionValues& values) = nullptr;
  /// The exception at hand as an error of ours, for those of libraries that only this program knows; null:
  /// none.
  std::optional<Error> (*translate)() = nullptr;
};

/// Parses the command line and does what it says. Returns the exit code; errors are printed.
int run_program(const Program& program, int argc, char** argv);

}  // namespace quantnoise::tool
