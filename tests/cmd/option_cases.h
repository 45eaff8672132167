#pragma once
// What every option of the commands beside `qn train` is expected to change.

#include <ostream>
#include <string>
#include <vector>

namespace quantnoise::cmd_test {

using Words = std::vector<std::string>;

enum class Effect {
  kChanges,  ///< results or files differ
  kNothing,  ///< nothing differs, and must not: `why` tells
  kRefuses,  ///< the command ends in an error that names the option
  kOwnTest,  ///< is seen elsewhere: `why` is that test, "tests/FOLDER/FILE.cc SUITE NAME"
};

/// A run with the base words, and one more for each value of the option; "" is a bare flag. "@name" stands
/// for a path of the fixture.
struct OptionCase {
  std::string option;
  Words base;
  Words values;
  Effect effect = Effect::kChanges;
  std::string why = {};
};

/// Cases of one command; every run begins with `usual`. Files in "@out" are results.
struct CommandCases {
  std::string command;
  Words usual;
  std::vector<OptionCase> cases;
};
/// For messages of the test framework.
inline void PrintTo(const CommandCases& command, std::ostream* stream) { *stream << command.command; }

const std::vector<CommandCases>& command_cases();

}  // namespace quantnoise::cmd_test
