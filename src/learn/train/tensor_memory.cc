#include "learn/train/tensor_memory.h"

#include <c10/core/CPUAllocator.h>

#include <algorithm>
#include <bit>

#if defined(__linux__)
#include <malloc.h>
#include <sys/mman.h>
#endif

namespace quantnoise::train {

namespace {

constexpr size_t kPage = 4096;
constexpr size_t kHugePage = size_t{2} << 20;

size_t round_up(size_t value, size_t multiple) { return (value + multiple - 1) / multiple * multiple; }

// Eight sizes for every doubling, so that batches of slightly other shapes find a block.
size_t block_bytes(size_t num_bytes) {
  const size_t step = std::bit_floor(num_bytes) / 8;
  return round_up(num_bytes, std::max(step, kPage));
}

#if defined(__linux__)

// Aligned to a huge page and backed by such where the system has them: less faults and address look-ups.
void* map_block(size_t num_bytes) {
  void* const start =
      mmap(nullptr, num_bytes + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (start == MAP_FAILED) return nullptr;
  const auto address = reinterpret_cast<uintptr_t>(start);
  const size_t before = round_up(address, kHugePage) - address;
  char* const data = static_cast<char*>(start) + before;
  if (before > 0) munmap(start, before);
  if (before < kHugePage) munmap(data + num_bytes, kHugePage - before);
  madvise(data, num_bytes, MADV_HUGEPAGE);
  return data;
}

void unmap_block(void* data, size_t num_bytes) { munmap(data, num_bytes); }

#else

void* map_block(size_t) { return nullptr; }
void unmap_block(void*, size_t) {}

#endif

bool on_page(const void* data) { return reinterpret_cast<uintptr_t>(data) % kPage == 0; }

}  // namespace

TensorMemory& TensorMemory::instance() {
  static TensorMemory* const memory = new TensorMemory();
  return *memory;
}

c10::DataPtr TensorMemory::allocate(size_t num_bytes) {
  void* data = num_bytes >= kLeastBytes ? take(block_bytes(num_bytes)) : nullptr;
  if (data == nullptr) data = c10::GetDefaultCPUAllocator()->allocate(num_bytes).release_context();
  return {data, data, &release, c10::Device(c10::DeviceType::CPU)};
}

c10::DeleterFnPtr TensorMemory::raw_deleter() const { return &release; }

void TensorMemory::copy_data(void* to, const void* from, size_t count) const {
  default_copy_data(to, from, count);
}

TensorMemory::Stats TensorMemory::stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

void TensorMemory::release(void* data) {
  if (data != nullptr && on_page(data) && instance().give_back(data)) return;
  c10::GetDefaultCPUAllocator()->raw_deleter()(data);
}

// A kept block of at most a quarter more than is asked for, else a new one; null when there is none.
void* TensorMemory::take(size_t num_bytes) {
  const std::lock_guard lock(mutex_);
  void* data = nullptr;
  const auto found = kept_by_size_.lower_bound(num_bytes);
  if (found != kept_by_size_.end() && found->first <= num_bytes + num_bytes / 4) {
    num_bytes = found->first;
    data = found->second->data;
    stats_.kept_bytes -= num_bytes;
    kept_.erase(found->second);
    kept_by_size_.erase(found);
  } else {
    const size_t used = stats_.used_bytes + num_bytes;
    const size_t most = std::max(stats_.peak_bytes + stats_.peak_bytes / 4, used);
    drop_kept(most - used);
    data = map_block(num_bytes);
    if (data == nullptr) {
      drop_kept(0);
      data = map_block(num_bytes);
    }
    if (data == nullptr) return nullptr;
    ++stats_.num_mappings;
  }
  used_.emplace(data, num_bytes);
  stats_.used_bytes += num_bytes;
  stats_.peak_bytes = std::max(stats_.peak_bytes, stats_.used_bytes);
  return data;
}

bool TensorMemory::give_back(void* data) {
  const std::lock_guard lock(mutex_);
  const auto found = used_.find(data);
  if (found == used_.end()) return false;
  const size_t num_bytes = found->second;
  used_.erase(found);
  stats_.used_bytes -= num_bytes;
  stats_.kept_bytes += num_bytes;
  kept_.push_front({data, num_bytes, {}});
  // Before its equals: the block freed last is likeliest to be in a cache.
  kept_.front().place =
      kept_by_size_.emplace_hint(kept_by_size_.lower_bound(num_bytes), num_bytes, kept_.begin());
  return true;
}

void TensorMemory::drop_kept(size_t most_kept_bytes) {
  while (stats_.kept_bytes > most_kept_bytes) {
    const Block& oldest = kept_.back();
    unmap_block(oldest.data, oldest.num_bytes);
    stats_.kept_bytes -= oldest.num_bytes;
    kept_by_size_.erase(oldest.place);
    kept_.pop_back();
  }
}

void keep_tensor_memory() {
#if defined(__linux__)
  c10::SetCPUAllocator(&TensorMemory::instance());
#endif
#if defined(__GLIBC__)
  // What is too small for blocks of its own stays with the process as well.
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
#endif
}

}  // namespace quantnoise::train
