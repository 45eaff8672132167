#include "quantnoise/codec/bit_pack.h"

#include <gtest/gtest.h>

#include <vector>

#include "quantnoise/base/error.h"
#include "quantnoise/base/random.h"

namespace quantnoise::codec {
namespace {

TEST(BitPack, RoundTripForEveryWidthAndOddCounts) {
  base::SequentialRandom random(1);
  for (int bits = 1; bits <= 16; ++bits) {
    for (const size_t count : {0, 1, 7, 8, 63, 1001}) {
      std::vector<uint16_t> codes(count), back(count);
      for (uint16_t& code : codes) code = static_cast<uint16_t>(random.below(uint64_t{1} << bits));
      std::vector<std::byte> packed(static_cast<size_t>(packed_bytes(static_cast<int64_t>(count), bits)));
      ASSERT_EQ(packed.size(), (count * static_cast<size_t>(bits) + 7) / 8);
      pack_bits(codes, bits, packed);
      unpack_bits(packed, bits, back);
      ASSERT_EQ(back, codes) << bits << " bits, " << count << " codes";
    }
  }
}

TEST(BitPack, LeastSignificantBitFirst) {
  const std::vector<uint16_t> codes = {1, 2, 5};
  std::vector<std::byte> packed(2);
  pack_bits(codes, 3, packed);
  EXPECT_EQ(packed, (std::vector<std::byte>{std::byte{0b01010001}, std::byte{0b1}}));
}

TEST(BitPack, WidthsOutsideOneToSixteenAreRefused) {
  EXPECT_THROW(packed_bytes(1, 0), Error);
  EXPECT_THROW(packed_bytes(1, 17), Error);
}

}  // namespace
}  // namespace quantnoise::codec
