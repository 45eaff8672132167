#pragma once
// The instruction sets the project knows, and the choice among them.

#include <span>
#include <string_view>

#include "core/kernels/kernel_functions.h"
#include "quantnoise/kernels/kernel_table.h"

namespace quantnoise::kernels {

/// A set the project knows, best last.
struct KernelSet {
  std::string_view name;
  const KernelTable* table;  ///< null: not in this build
  bool machine_has_it;
};

std::span<const KernelSet> known_kernel_sets();

/// The set of that name, or the best usable one when the name is empty. Errors: as kernel_table().
const KernelTable& choose_kernel_table(std::string_view name, std::span<const KernelSet> sets);

}  // namespace quantnoise::kernels
