#pragma once
// The instruction sets the project knows, and the choice among them.

#include <span>
#include <string_view>

#include "core/kernels/kernel_functions.h"
#include "quantnoise/kernels/instruction_set.h"

namespace quantnoise::kernels {

/// A set the project knows, best last.
struct KnownSet {
  std::string_view name;
  const InstructionSet* in_build;  ///< null: not in this build
  bool machine_has_it;
};

std::span<const KnownSet> known_instruction_sets();

/// The set of that name, or the best usable one when the name is empty. Errors: as instruction_set().
const InstructionSet& choose_instruction_set(std::string_view name, std::span<const KnownSet> sets);

}  // namespace quantnoise::kernels
