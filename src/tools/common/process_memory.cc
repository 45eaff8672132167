#include "tools/common/process_memory.h"

#include <cstdio>
#include <memory>

namespace quantnoise::tool {

std::optional<ProcessMemory> process_memory() {
  const std::unique_ptr<FILE, int (*)(FILE*)> status(std::fopen("/proc/self/status", "r"), std::fclose);
  if (status == nullptr) return std::nullopt;
  ProcessMemory memory;
  char line[256];
  long kib = 0;
  while (std::fgets(line, sizeof(line), status.get()) != nullptr) {
    if (std::sscanf(line, "VmHWM: %ld", &kib) == 1) memory.peak = int64_t{kib} * 1024;
    if (std::sscanf(line, "RssAnon: %ld", &kib) == 1) memory.own = int64_t{kib} * 1024;
  }
  if (memory.peak == 0) return std::nullopt;
  return memory;
}

}  // namespace quantnoise::tool
