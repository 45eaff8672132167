#include "quantnoise/base/large_memory.h"

#include <cstdlib>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace quantnoise::base {

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
#if defined(__linux__)
  // A wish: without huge pages the memory is as good as any.
  if (is_huge) static_cast<void>(madvise(memory.get(), rounded, MADV_HUGEPAGE));
#endif
  return memory;
}

}  // namespace quantnoise::base
