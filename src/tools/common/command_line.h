#pragma once
// From the words of the command line to values of declared options; types, ranges, defaults and messages are
// those of the declarations.

#include <optional>
#include <string>
#include <vector>

#include "quantnoise/config/options.h"
#include "tools/common/command.h"

namespace quantnoise::tool {

/// What the whole command line asks for.
struct Request {
  enum class Kind {
    kRun,
    kHelp,  ///< of `command`, or of the program when there is none
    kVersion,
    kDumpConfig,
    kHelpMarkdown,  ///< the text of docs/commands.md
  };
  Kind kind = Kind::kRun;
  const Command* command = nullptr;
  std::optional<Invocation> invocation;  ///< of kRun and kDumpConfig
};

/// arguments: without the program's name.
/// Errors: kUsage (unknown command or option with the nearest names, missing value, missing argument),
/// kConfig.
Request parse_command_line(const Program& program, const std::vector<std::string>& arguments);

/// "--max-tokens", "-o".
std::string option_flag(const std::string& name);

}  // namespace quantnoise::tool
