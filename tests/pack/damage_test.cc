// Damage by machines instead of by hand: files cut short and flipped bits.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "quantnoise/base/error.h"
#include "sample_model.h"

namespace quantnoise::pack {
namespace {

using test::sample_bytes;
using ::testing::HasSubstr;

// Every prefix is an error that names the file, never a crash and never a model.
TEST(Truncation, EveryStepOf64Bytes) {
  const std::string& bytes = sample_bytes();
  for (size_t size = 0; size < bytes.size(); size += 64) {
    const auto block = codec::ByteBlock::own({reinterpret_cast<const std::byte*>(bytes.data()),
                                              reinterpret_cast<const std::byte*>(bytes.data()) + size});
    try {
      parse_model_file(block, "m.qn");
      FAIL() << size;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kFormat) << size;
      EXPECT_THAT(error.what(), HasSubstr("cannot read m.qn: ")) << size;
    }
  }
}

// Single flipped bytes: an error or a model, nothing else.
TEST(FlippedBytes, NeverCrash) {
  const std::string& sample = sample_bytes();
  int refused = 0;
  for (size_t position = 0; position < sample.size(); position += 3) {
    std::string bytes = sample;
    bytes[position] = static_cast<char>(bytes[position] ^ (1 << (position / 3 % 8)));
    const auto* begin = reinterpret_cast<const std::byte*>(bytes.data());
    try {
      const ModelFile file = parse_model_file(codec::ByteBlock::own({begin, begin + bytes.size()}), "m.qn");
      for (const auto& [name, weight] : file.weights) codec::unpack_to_float(weight);
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 100);
}

}  // namespace
}  // namespace quantnoise::pack
