#include "quantnoise/base/large_memory.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <limits>
#include <new>
#include <string>

#include "quantnoise/base/file.h"
#include "temporary_folder.h"

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

TEST(LargeMemory, AWishForHugePagesChangesNoBytes) {
  const test::TemporaryFolder folder;
  write_text_file(folder.file("a"), std::string(5 << 20, 'x'));
  const MappedFile file = MappedFile::open(folder.file("a"));
  prefer_huge_pages(file.bytes());
  for (const std::byte byte : file.bytes()) ASSERT_EQ(static_cast<char>(byte), 'x');
  prefer_huge_pages({});
}

}  // namespace
}  // namespace quantnoise::base
