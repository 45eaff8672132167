#pragma once
// The choice among the instruction sets: one KernelTable (kernel_types.h) a set, chosen once at the first
// use.

#include <string>
#include <vector>

#include "quantnoise/kernels/kernel_types.h"

namespace quantnoise::kernels {

/// The set in use, chosen at the first call: the one named by the environment variable QN_CPU, else the best
/// one. Errors: kUsage for an unknown name; kUnsupported when this machine or this build lacks the set.
const KernelTable& kernel_table();

/// Every set that runs here, portable first.
std::vector<const KernelTable*> available_kernel_tables();

/// Whether the processor multiplies bfloat16 itself; elsewhere such products are emulated, slower than fp32.
bool has_bf16_products();

/// One line for people: processor, instruction sets that matter, the set in use.
std::string cpu_description();

}  // namespace quantnoise::kernels
