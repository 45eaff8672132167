#include "quantnoise/base/large_memory.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <limits>
#include <new>

namespace quantnoise::base {
namespace {

TEST(LargeMemory, IsAlignedAndWritable) {
  for (const size_t num_bytes :
       {size_t{0}, size_t{1}, size_t{1000}, size_t{5} << 20, (size_t{9} << 20) + 3}) {
    const LargeMemory memory = allocate_large(num_bytes);
    ASSERT_NE(memory.get(), nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(memory.get()) % 64, 0u);
    std::memset(memory.get(), 7, num_bytes);
  }
}

TEST(LargeMemory, ThrowsWhereThereIsNone) {
  EXPECT_THROW(allocate_large(std::numeric_limits<size_t>::max() - 5), std::bad_alloc);
}

}  // namespace
}  // namespace quantnoise::base
