#include "quantnoise/base/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <vector>

namespace quantnoise::base {
namespace {

using Block = std::array<uint32_t, 4>;

// Known answers published with the generator (Random123, kat_vectors, philox4x32 with 10 rounds).
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}), (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  constexpr uint32_t kOnes = 0xffffffff;
  EXPECT_EQ(philox4x32({kOnes, kOnes, kOnes, kOnes}, {kOnes, kOnes}),
            (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Philox, HashNameIsFnv1a) {
  EXPECT_EQ(hash_name(""), 0xcbf29ce484222325ull);
  EXPECT_EQ(hash_name("a"), 0xaf63dc4c8601ec8cull);
  EXPECT_EQ(hash_name("foobar"), 0x85944171f73967e8ull);
}

TEST(RandomStream, ADrawIsALaneOfItsGroup) {
  const RandomStream stream(17, hash_name("decoder.layers.0.fc1"), 5, 3);
  for (const uint64_t index :
       {uint64_t{0}, uint64_t{1}, uint64_t{2}, uint64_t{3}, uint64_t{4}, uint64_t{1} << 36}) {
    const uint64_t group = index / 4;
    const Block block =
        philox4x32({static_cast<uint32_t>(group), static_cast<uint32_t>(group >> 32), 5, 3}, stream.key);
    EXPECT_EQ(stream.bits(index), block[index % 4]);
  }
}

TEST(RandomStream, SeedNameUpdateAndMicroBatchAllMatter) {
  std::set<uint32_t> draws;
  draws.insert(RandomStream(1, 2, 3, 4).bits(0));
  draws.insert(RandomStream(9, 2, 3, 4).bits(0));
  draws.insert(RandomStream(1, 9, 3, 4).bits(0));
  draws.insert(RandomStream(1, 2, 9, 4).bits(0));
  draws.insert(RandomStream(1, 2, 3, 9).bits(0));
  draws.insert(RandomStream(1, 2, 3 + (uint64_t{1} << 32), 4).bits(0));
  EXPECT_EQ(draws.size(), 6u);
}

TEST(RandomStream, BernoulliRate) {
  const RandomStream stream(1, hash_name("x"), 0, 0);
  for (const double p : {0.0, 0.1, 0.5, 1.0}) {
    const uint64_t threshold = bernoulli_threshold(p);
    int hits = 0;
    constexpr int kDraws = 100000;
    for (int i = 0; i < kDraws; ++i) hits += stream.bits(i) < threshold ? 1 : 0;
    EXPECT_NEAR(hits, p * kDraws, 5 * std::sqrt(p * (1 - p) * kDraws)) << p;
  }
}

TEST(SequentialRandom, SeekGoesOnWhereItStopped) {
  SequentialRandom random(7, "shuffle");
  for (int i = 0; i < 10; ++i) random.next();
  const uint64_t position = random.position();
  const uint32_t expected = random.next();
  SequentialRandom resumed(7, "shuffle");
  resumed.seek(position);
  EXPECT_EQ(resumed.next(), expected);
}

TEST(SequentialRandom, BelowIsUniform) {
  SequentialRandom random(3);
  std::vector<int> counts(7);
  for (int i = 0; i < 70000; ++i) {
    const uint64_t value = random.below(7);
    ASSERT_LT(value, 7u);
    ++counts[value];
  }
  for (const int count : counts) EXPECT_NEAR(count, 10000, 500);
  EXPECT_EQ(random.below(1), 0u);
}

TEST(SequentialRandom, UniformStaysBelowOne) {
  SequentialRandom random(3);
  for (int i = 0; i < 10000; ++i) {
    const float value = random.uniform();
    ASSERT_GE(value, 0.0f);
    ASSERT_LT(value, 1.0f);
  }
}

}  // namespace
}  // namespace quantnoise::base
