#include "learn/train/tensor_memory.h"

#include <c10/core/CPUAllocator.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cstring>
#include <thread>
#include <vector>

namespace quantnoise::train {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

TEST(TensorMemory, GivesTheBlockOutAgain) {
  TensorMemory& memory = TensorMemory::instance();
  void* first = nullptr;
  {
    const c10::DataPtr block = memory.allocate(5 * kMiB);
    first = block.get();
    EXPECT_EQ(reinterpret_cast<uintptr_t>(first) % 64, 0u);
    std::memset(first, 1, 5 * kMiB);
  }
  const size_t mappings = memory.stats().num_mappings;
  const c10::DataPtr again = memory.allocate(5 * kMiB);
  EXPECT_EQ(again.get(), first);
  const c10::DataPtr other = memory.allocate(5 * kMiB);
  EXPECT_NE(other.get(), first);
  EXPECT_LE(memory.stats().num_mappings, mappings + 1);
}

TEST(TensorMemory, SmallRequestsAreTorchsOwn) {
  TensorMemory& memory = TensorMemory::instance();
  const size_t used = memory.stats().used_bytes;
  const c10::DataPtr small = memory.allocate(1000);
  const c10::DataPtr nothing = memory.allocate(0);
  ASSERT_NE(small.get(), nullptr);
  std::memset(small.get(), 1, 1000);
  EXPECT_EQ(memory.stats().used_bytes, used);
}

TEST(TensorMemory, RawPointersReturnToTheirOwner) {
  TensorMemory& memory = TensorMemory::instance();
  const size_t used = memory.stats().used_bytes;
  void* const large = memory.raw_allocate(3 * kMiB);
  void* const small = memory.raw_allocate(100);
  EXPECT_GE(memory.stats().used_bytes, used + 3 * kMiB);
  memory.raw_deallocate(large);
  memory.raw_deallocate(small);
  EXPECT_EQ(memory.stats().used_bytes, used);
  // What torch's allocator gave out before the exchange may come back after it.
  memory.raw_deallocate(c10::GetDefaultCPUAllocator()->raw_allocate(2 * kMiB));
  EXPECT_EQ(memory.stats().used_bytes, used);
}

TEST(TensorMemory, KeepsAtMostAQuarterAboveThePeak) {
  TensorMemory& memory = TensorMemory::instance();
  // Sizes that never fit a kept block.
  for (size_t size = 2 * kMiB; size < 200 * kMiB; size += size / 3) {
    const c10::DataPtr block = memory.allocate(size);
    const TensorMemory::Stats stats = memory.stats();
    EXPECT_GE(stats.used_bytes, size);
    EXPECT_LE(stats.used_bytes + stats.kept_bytes, stats.peak_bytes + stats.peak_bytes / 4) << size;
  }
}

TEST(TensorMemory, ServesTensorsOfManyThreads) {
  keep_tensor_memory();
  const size_t used = TensorMemory::instance().stats().used_bytes;
  std::vector<std::thread> threads;
  std::vector<int> wrong(4);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&wrong, t] {
      for (int64_t round = 0; round < 40; ++round) {
        const at::Tensor tensor = at::full({(round % 7 + 1) << 18}, t, at::kFloat);
        std::this_thread::yield();
        wrong[static_cast<size_t>(t)] += tensor.ne(t).any().item<bool>();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4));
  EXPECT_EQ(TensorMemory::instance().stats().used_bytes, used);
}

}  // namespace
}  // namespace quantnoise::train
