#pragma once
// The choice among the instruction sets, made once at the first use. The inner loops lie in the headers
// beside this one: raw pointers, ranges, no threads, no errors. Every purpose (assign.h, lookup.h, …) has a
// table of functions for each set with loops of its own, and a function that gives the one in use; so a
// program is linked with the loops of the purposes it has. The set `portable` is the specification.

#include <string>
#include <vector>

namespace quantnoise::kernels {

struct InstructionSet {
  const char* name;
};

/// The set in use, chosen at the first call: the one named by the environment variable QN_CPU, else the best
/// one. Errors: kUsage for an unknown name; kUnsupported when this machine or this build lacks the set.
const InstructionSet& instruction_set();

/// Every set that runs here, portable first.
std::vector<const InstructionSet*> available_instruction_sets();

/// Whether the processor multiplies bfloat16 itself; elsewhere such products are emulated, slower than fp32.
bool has_bf16_products();

/// One line for people: processor, instruction sets that matter, the set in use.
std::string cpu_description();

}  // namespace quantnoise::kernels
