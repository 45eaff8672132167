#include "quantnoise/base/large_memory.h"

#include <cstdlib>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace quantnoise::base {

namespace {

void advise_huge_pages([[maybe_unused]] void* begin, [[maybe_unused]] size_t num_bytes) noexcept {
#if defined(__linux__)
  static_cast<void>(madvise(begin, num_bytes, MADV_HUGEPAGE));
#endif
}

}  // namespace

void FreeMemory::operator()(void* memory) const noexcept { std::free(memory); }

LargeMemory allocate_large(size_t num_bytes) {
  constexpr size_t kHugePage = size_t{2} << 20;
  constexpr size_t kCacheLine = 64;
  const bool is_huge = num_bytes >= 2 * kHugePage;
  const size_t alignment = is_huge ? kHugePage : kCacheLine;
  const size_t rounded = (num_bytes + alignment - 1) / alignment * alignment;
  if (rounded < num_bytes) throw std::bad_alloc();
  LargeMemory memory(std::aligned_alloc(alignment, rounded > 0 ? rounded : alignment));
  if (memory == nullptr) throw std::bad_alloc();
  if (is_huge) advise_huge_pages(memory.get(), rounded);
  return memory;
}

void prefer_huge_pages(std::span<const std::byte> mapped) noexcept {
  advise_huge_pages(const_cast<std::byte*>(mapped.data()), mapped.size());
}

}  // namespace quantnoise::base
