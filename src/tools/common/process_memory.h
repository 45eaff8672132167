#pragma once
// What the system counts as this process's memory.

#include <cstdint>
#include <optional>

namespace quantnoise::tool {

/// Bytes in memory, those of programs and files that others read too included.
struct ProcessMemory {
  int64_t peak = 0;  ///< the most there ever were
  int64_t own = 0;   ///< now, of no file: what the program allocated
};

/// Nothing where the system does not say (it is Linux that does).
std::optional<ProcessMemory> process_memory();

}  // namespace quantnoise::tool
