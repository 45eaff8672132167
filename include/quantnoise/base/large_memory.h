#pragma once
// Memory for large arrays, and maps of large files, that are walked through often.

#include <cstddef>
#include <memory>
#include <span>

namespace quantnoise::base {

struct FreeMemory {
  void operator()(void* memory) const noexcept;
};
using LargeMemory = std::unique_ptr<void, FreeMemory>;

/// Uninitialized, aligned to 64 bytes; of several MiB, on huge pages where the system has them: far fewer
/// page faults at the first touch. Errors: std::bad_alloc.
LargeMemory allocate_large(size_t num_bytes);

/// Asks the system to read a mapped file in huge pages, where it is not in memory yet and the system can.
/// `mapped` begins where the map does. No errors: without huge pages the map is as good as any.
void prefer_huge_pages(std::span<const std::byte> mapped) noexcept;

}  // namespace quantnoise::base
