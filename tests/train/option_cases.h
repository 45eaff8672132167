#pragma once
// What every option of `qn train` is expected to change.

#include <string>
#include <vector>

#include "run_fixture.h"

namespace quantnoise::test {

enum class Effect {
  kChanges,  ///< what the run prints or leaves behind differs
  kNothing,  ///< nothing differs, and must not: `why` tells
  kRefuses,  ///< the run ends in an error
  kPermits,  ///< the run without it ends in an error
  kOwnTest,  ///< is seen elsewhere: `why` is the full name of that test
};

/// A run with the base options, and one more for each value of the option. "@name" stands for a path of the
/// fixture.
struct OptionCase {
  std::string option;
  Options base;
  std::vector<std::string> values;
  Effect effect = Effect::kChanges;
  std::string why = {};
};

const std::vector<OptionCase>& option_cases();

}  // namespace quantnoise::test
