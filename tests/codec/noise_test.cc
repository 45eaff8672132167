#include "quantnoise/codec/noise.h"

#include <gtest/gtest.h>

#include <vector>

#include "quantnoise/base/error.h"
#include "quantnoise/codec/half.h"

namespace quantnoise::codec {
namespace {

constexpr int64_t kRows = 61;
constexpr int64_t kCols = 72;

struct Case {
  explicit Case(BlockNoise kind, double probability = 0.3, int block_size = 8)
      : weight(static_cast<size_t>(kRows * kCols)) {
    base::SequentialRandom random(1);
    for (float& value : weight) value = random.uniform() - 0.5f;
    for (int i = 0; i < 10 * block_size; ++i) centroids.push_back(random.uniform());
    for (int64_t i = 0; i < kRows * kCols / block_size; ++i)
      codes.push_back(static_cast<uint16_t>(random.below(10)));
    spec.kind = kind;
    spec.probability = probability;
    spec.block_size = block_size;
    spec.survivor_scale = probability < 1 ? static_cast<float>(1 / (1 - probability)) : 1.0f;
    spec.stream = base::RandomStream(7, base::hash_name("fc1.weight"), 12, 1);
    spec.centroids = centroids;
    spec.codes = codes;
  }

  std::vector<float> apply() const {
    std::vector<float> out(weight.size());
    apply_block_noise(spec, weight.data(), kRows, kCols, out.data(), base::ThreadPool(2));
    return out;
  }

  // What element `i` must become, from the definition.
  float expected(size_t i) const {
    const auto size = static_cast<size_t>(spec.block_size);
    const size_t block = i / size;
    const bool zero_row = spec.zero_row == static_cast<int64_t>(i) / kCols;
    if (spec.kind == BlockNoise::kNone || zero_row) return weight[i];
    if (!is_noised(spec, block))
      return spec.kind == BlockNoise::kDrop ? weight[i] * spec.survivor_scale : weight[i];
    if (spec.kind == BlockNoise::kDrop) return 0;
    if (spec.kind == BlockNoise::kExact) return centroids[codes[block] * size + i % size];
    float sum = 0;
    for (size_t j = 0; j < size; ++j) sum += weight[block * size + j];
    return sum / static_cast<float>(size);
  }

  std::vector<float> weight, centroids;
  std::vector<uint16_t> codes;
  BlockNoiseSpec spec;
};

constexpr BlockNoise kKinds[] = {BlockNoise::kNone, BlockNoise::kDrop, BlockNoise::kMean, BlockNoise::kExact};

TEST(Noise, FollowsItsDefinition) {
  for (const BlockNoise kind : kKinds) {
    for (const int block_size : {4, 8, 9, 24}) {
      Case c(kind, 0.3, block_size);
      c.spec.zero_row = 17;
      const std::vector<float> before = c.weight;
      const std::vector<float> out = c.apply();
      for (size_t i = 0; i < out.size(); ++i) ASSERT_EQ(out[i], c.expected(i)) << i;
      EXPECT_EQ(c.weight, before);
    }
  }
}

TEST(Noise, RateIsTheProbability) {
  const Case c(BlockNoise::kDrop, 0.1, 1);
  int64_t dropped = 0;
  for (uint64_t block = 0; block < 100000; ++block) dropped += is_noised(c.spec, block);
  EXPECT_NEAR(static_cast<double>(dropped), 10000, 400);
}

TEST(Noise, ProbabilityZeroIsTheIdentity) {
  for (const BlockNoise kind : kKinds) {
    const Case c(kind, 0.0);
    EXPECT_EQ(c.apply(), c.weight);
  }
}

TEST(Noise, ProbabilityOneNoisesEverything) {
  EXPECT_EQ(Case(BlockNoise::kDrop, 1.0).apply(),
            std::vector<float>(static_cast<size_t>(kRows * kCols), 0.0f));
  const Case exact(BlockNoise::kExact, 1.0);
  const std::vector<float> out = exact.apply();
  for (size_t i = 0; i < out.size(); ++i)
    ASSERT_EQ(out[i], exact.centroids[exact.codes[i / 8] * size_t{8} + i % 8]);
}

TEST(Noise, RowsEqualThoseOfTheWhole) {
  for (const BlockNoise kind : kKinds) {
    Case c(kind);
    c.spec.zero_row = 5;
    const std::vector<float> whole = c.apply();
    const std::vector<int64_t> rows = {60, 5, 0, 31, 31};
    std::vector<float> out(rows.size() * kCols);
    apply_block_noise_rows(c.spec, c.weight.data(), kRows, kCols, rows, out.data(), base::ThreadPool(2));
    for (size_t i = 0; i < out.size(); ++i) {
      ASSERT_EQ(out[i], whole[static_cast<size_t>(rows[i / kCols]) * kCols + i % kCols]);
    }
  }
}

TEST(Noise, Bf16IsTheRoundedResult) {
  for (const BlockNoise kind : kKinds) {
    const Case c(kind);
    const std::vector<float> whole = c.apply();
    std::vector<uint16_t> out(whole.size());
    apply_block_noise(c.spec, c.weight.data(), kRows, kCols, out.data(), base::SerialFor());
    for (size_t i = 0; i < out.size(); ++i) ASSERT_EQ(out[i], float_to_bf16(whole[i]));
  }
}

TEST(Noise, UpdatesAndMicroBatchesDiffer) {
  Case a(BlockNoise::kDrop), b(BlockNoise::kDrop), c(BlockNoise::kDrop);
  b.spec.stream = base::RandomStream(7, base::hash_name("fc1.weight"), 13, 1);
  c.spec.stream = base::RandomStream(7, base::hash_name("fc1.weight"), 12, 2);
  EXPECT_NE(a.apply(), b.apply());
  EXPECT_NE(a.apply(), c.apply());
}

TEST(Noise, BadArgumentsAreRefused) {
  const Case good(BlockNoise::kExact);
  std::vector<float> out(good.weight.size());
  const auto apply = [&](const BlockNoiseSpec& spec) {
    apply_block_noise(spec, good.weight.data(), kRows, kCols, out.data(), base::SerialFor());
  };
  BlockNoiseSpec spec = good.spec;
  spec.block_size = 7;
  EXPECT_THROW(apply(spec), Error);
  spec = good.spec;
  spec.probability = 1.5;
  EXPECT_THROW(apply(spec), Error);
  spec = good.spec;
  spec.codes = spec.codes.subspan(1);
  EXPECT_THROW(apply(spec), Error);
  const std::vector<int64_t> outside = {kRows};
  EXPECT_THROW(apply_block_noise_rows(good.spec, good.weight.data(), kRows, kCols, outside, out.data(),
                                      base::SerialFor()),
               Error);
}

}  // namespace
}  // namespace quantnoise::codec
