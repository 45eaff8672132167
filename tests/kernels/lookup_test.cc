// Look-up kernels: every set gives the bits of the portable one, and the portable one what its formula
// promises.

#include "quantnoise/kernels/lookup.h"

#include <gtest/gtest.h>

#include <limits>
#include <set>
#include <string>
#include <utility>

#include "lookup_fixture.h"

namespace quantnoise::kernels {
namespace {

constexpr EntryWidth kWidths[] = {EntryWidth::k8Bits, EntryWidth::k16Bits};

class LookupSets : public ::testing::TestWithParam<const InstructionSet*> {
 protected:
  const LookupKernels& set() const { return lookup_set(GetParam()->name); }
};

std::string str(int num_centroids, int block_size) {
  return std::to_string(num_centroids) + " centroids of " + std::to_string(block_size);
}

void expect_same(const LookupKernels& set, const LookupProblem& p, EntryWidth width) {
  const LookupRun ours(set, p, width), expected(kLookupPortable, p, width);
  ASSERT_EQ(ours.pairs, expected.pairs);
  ASSERT_EQ(ours.factors, expected.factors);
  ASSERT_EQ(ours.norms, expected.norms);
  ASSERT_TRUE(ours.usable && expected.usable);
  for (int64_t c = 0; c < ours.tables.num_chunks; ++c) {
    const LookupChunk &a = ours.tables.chunks[c], &b = expected.tables.chunks[c];
    ASSERT_EQ(a.center, b.center);
    ASSERT_EQ(a.scale, b.scale);
    ASSERT_EQ(a.rest, b.rest);
  }
  ASSERT_EQ(ours.add(p, 0.25f), expected.add(p, 0.25f));
}

TEST_P(LookupSets, EqualPortableForAllBlockAndCodebookSizes) {
  EXPECT_STREQ(set().name, GetParam()->name);
  for (const EntryWidth width : kWidths) {
    for (const int num_centroids : {1, 2, 3, 15, 16, 17, 100, 255, 256}) {
      for (int block_size = 1; block_size <= 16; ++block_size) {
        const LookupProblem p(num_centroids, block_size, 37, 2, gaussian_values(37 * block_size, 3));
        SCOPED_TRACE(str(num_centroids, block_size));
        expect_same(set(), p, width);
      }
    }
  }
}

TEST_P(LookupSets, EqualPortableForAllNumbersOfBlocksAndSteps) {
  for (const EntryWidth width : kWidths) {
    for (const int num_centroids : {16, 256}) {
      for (const int64_t num_blocks : {1, 2, 15, 16, 17, 63, 64, 65, 200, 513}) {
        for (const int num_steps : {1, 2, 3, 4, 5, 8, 16}) {
          if (num_blocks > 65 && num_steps > 5) continue;
          const LookupProblem p(num_centroids, 8, num_blocks, num_steps, gaussian_values(num_blocks * 8, 4));
          SCOPED_TRACE(num_blocks);
          expect_same(set(), p, width);
        }
      }
    }
  }
}

TEST_P(LookupSets, EqualPortableOnRoughInputs) {
  for (const EntryWidth width : kWidths) {
    for (const int num_centroids : {13, 256}) {
      for (const int block_size : {2, 7, 8, 9, 16}) {
        LookupProblem p(num_centroids, block_size, 300, 3, rough_values(300 * block_size, 5));
        for (int j = 0; j < block_size; ++j) p.input[static_cast<size_t>(10 * block_size + j)] = 1e-14f;
        p.input[static_cast<size_t>(20 * block_size)] = -1e4f;
        expect_same(set(), p, width);
      }
    }
  }
}

TEST_P(LookupSets, EqualPortableWhenAllEntriesOfABlockAreTheLargest) {
  // Sums of 64 entries of 255 or 65,535: the narrow accumulators are as full as they can get.
  for (const EntryWidth width : kWidths) {
    LookupProblem p(256, 8, 64, 2, std::vector<float>(64 * 8, 1.0f));
    for (int k = 0; k < 256; ++k) std::fill_n(p.centroids.begin() + k * 8, 8, k == 255 ? 1.0f : -1.0f);
    std::fill(p.bytes.begin(), p.bytes.end(), uint8_t{255});
    expect_same(set(), p, width);
    const LookupRun run(set(), p, width);
    ASSERT_EQ(run.tables.num_chunks, 1);
    const std::vector<float> y = run.add(p, 0.0f);
    for (size_t i = 1; i + 1 < y.size(); ++i)
      EXPECT_NEAR(y[i], 512, 512 * (width == EntryWidth::k8Bits ? 2e-3 : 1e-4));
  }
}

TEST_P(LookupSets, SelectTheBlocksBetweenTwoNorms) {
  for (const int64_t num_blocks : {1, 2, 15, 16, 17, 100, 513}) {
    std::vector<float> norms = rough_values((num_blocks + 15) / 16 * 16, 6);
    for (int64_t b = 0; b < static_cast<int64_t>(norms.size()); ++b) {
      float& norm = norms[static_cast<size_t>(b)];
      norm = b >= num_blocks ? 0.0f : b % 7 == 3 ? 0.25f : b % 7 == 5 ? 1.5f : norm * norm;
    }
    for (const auto& [least, most] : {std::pair{0.25f, 1.5f}, {0.0f, 1e30f}, {1.5f, 1e30f}, {1.0f, 0.5f}}) {
      std::vector<int32_t> expected;
      for (int32_t b = 0; b < num_blocks; ++b) {
        const float norm = norms[static_cast<size_t>(b)];
        if (norm > least && norm <= most) expected.push_back(b);
      }
      std::vector<int32_t> numbers(static_cast<size_t>(num_blocks) + 1, -1);
      const int64_t count = set().select_blocks(norms.data(), num_blocks, least, most, numbers.data());
      EXPECT_EQ(numbers.back(), -1) << "written behind the room for " << num_blocks;
      ASSERT_EQ(count, static_cast<int64_t>(expected.size()));
      numbers.resize(expected.size());
      EXPECT_EQ(numbers, expected);
    }
  }
}

TEST_P(LookupSets, WriteNothingBehindTheirRows) {
  for (const int num_centroids : {16, 256}) {
    for (const int num_steps : {1, 2, 3, 5, 7, 16}) {
      const LookupProblem p(num_centroids, 4, 20, num_steps, gaussian_values(80, 6));
      const std::vector<float> y = LookupRun(set(), p, EntryWidth::k16Bits).add(p, 0);
      EXPECT_EQ(y.front(), 77.0f);
      EXPECT_EQ(y.back(), 77.0f);
    }
  }
}

TEST_P(LookupSets, ErrorsStayBelowTheirBounds) {
  for (const int num_centroids : {16, 256}) {
    for (const int block_size : {4, 8, 9, 16}) {
      for (const bool rough : {false, true}) {
        const int64_t num_inputs = int64_t{512} * block_size;
        LookupProblem p(num_centroids, block_size, 512, 4,
                        rough ? rough_values(num_inputs, 7) : gaussian_values(num_inputs, 7));
        const std::vector<double> exact = p.exact();
        SCOPED_TRACE(str(num_centroids, block_size));
        EXPECT_LE(relative_squared_error(LookupRun(set(), p, EntryWidth::k8Bits).add(p, 0).data() + 1, exact),
                  2e-4);
        EXPECT_LE(
            relative_squared_error(LookupRun(set(), p, EntryWidth::k16Bits).add(p, 0).data() + 1, exact),
            1e-8);
      }
    }
  }
}

TEST_P(LookupSets, CentroidsThatHardlyDifferKeepTheirCommonPart) {
  LookupProblem p(256, 8, 100, 2, gaussian_values(800, 8));
  for (size_t i = 0; i < p.centroids.size(); ++i) p.centroids[i] = 1.0f + 1e-6f * p.centroids[i];
  const std::vector<double> exact = p.exact();
  for (const EntryWidth width : kWidths) {
    expect_same(set(), p, width);
    EXPECT_LE(relative_squared_error(LookupRun(set(), p, width).add(p, 0).data() + 1, exact), 1e-8);
  }
}

INSTANTIATE_TEST_SUITE_P(All, LookupSets, ::testing::ValuesIn(available_instruction_sets()),
                         [](const auto& info) { return std::string(info.param->name); });

LookupRun plan_of(std::vector<float> x, EntryWidth width = EntryWidth::k8Bits) {
  const auto num_blocks = static_cast<int64_t>(x.size() / 4);
  return LookupRun(kLookupPortable, LookupProblem(16, 4, num_blocks, 1, std::move(x)), width);
}

TEST(LookupPlan, ChunksCoverEveryBlockOnceAndAreSimilar) {
  const LookupRun run = plan_of(rough_values(4 * 1000, 9));
  std::set<int32_t> seen;
  int32_t next = 0;
  float mean = 0;
  for (int b = 0; b < 1000; ++b) mean += run.norms[static_cast<size_t>(b)] / 1000;
  for (int64_t c = 0; c < run.tables.num_chunks; ++c) {
    const LookupChunk& chunk = run.tables.chunks[c];
    EXPECT_EQ(chunk.first, next);
    EXPECT_GE(chunk.num_blocks, 1);
    EXPECT_LE(chunk.num_blocks, kMaxChunkBlocks);
    next += chunk.num_blocks;
    const float largest = run.norms[static_cast<size_t>(run.order[static_cast<size_t>(chunk.first)])];
    for (int32_t i = chunk.first; i < next; ++i) {
      const int32_t block = run.order[static_cast<size_t>(i)];
      const float norm = run.norms[static_cast<size_t>(block)];
      EXPECT_TRUE(seen.insert(block).second);
      EXPECT_TRUE(norm >= 0.5f * largest || largest - norm <= 0.5f * mean);
    }
  }
  EXPECT_EQ(next, run.tables.num_kept);
  for (int32_t b = 0; b < 1000; ++b) EXPECT_EQ(seen.count(b) == 1, run.norms[static_cast<size_t>(b)] > 0);
}

// Every fifth block is an outlier, with one of few norms: few of them and many are sorted in different ways.
TEST(LookupPlan, OutliersFallInNormAndThenRiseInNumber) {
  for (const int num_blocks : {40, 640, 645, 3000}) {
    std::vector<float> x(static_cast<size_t>(4 * num_blocks), 0.5f);
    for (int b = 0; b < num_blocks; b += 5)
      x[static_cast<size_t>(4 * b)] = static_cast<float>(100 + b * 7 % 11);
    const LookupRun run = plan_of(x);
    ASSERT_EQ(run.tables.num_kept, num_blocks);
    const int num_usual = num_blocks - (num_blocks + 4) / 5;
    for (int i = 0; i < num_blocks; ++i) {
      const int32_t block = run.order[static_cast<size_t>(i)];
      EXPECT_EQ(block % 5 == 0, i >= num_usual);
      if (i == 0 || i == num_usual) continue;
      const int32_t before = run.order[static_cast<size_t>(i - 1)];
      const float norm = run.norms[static_cast<size_t>(block)];
      const float norm_before = run.norms[static_cast<size_t>(before)];
      EXPECT_TRUE(norm < norm_before || (norm == norm_before && block > before)) << num_blocks << " at " << i;
    }
  }
}

TEST(LookupPlan, WiderEntriesNeedFewerChunksForTheSameBlocks) {
  const std::vector<float> x = gaussian_values(4 * 60, 9);
  const LookupRun bytes = plan_of(x, EntryWidth::k8Bits), words = plan_of(x, EntryWidth::k16Bits);
  EXPECT_LT(words.tables.num_chunks, bytes.tables.num_chunks);
  EXPECT_EQ(words.tables.num_kept, bytes.tables.num_kept);
  EXPECT_EQ(std::set(words.order.begin(), words.order.begin() + words.tables.num_kept),
            std::set(bytes.order.begin(), bytes.order.begin() + bytes.tables.num_kept));
}

TEST(LookupPlan, InputsBeyondTheArithmeticAreRefused) {
  for (const float value : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                            -std::numeric_limits<float>::infinity(), 1e20f}) {
    std::vector<float> x = gaussian_values(400, 10);
    x[177] = value;
    EXPECT_FALSE(plan_of(x).usable) << value;
  }
  EXPECT_FALSE(plan_of(std::vector<float>(400, 1e-20f)).usable);
  EXPECT_FALSE(plan_of(std::vector<float>(400, 0.0f)).usable);
  EXPECT_EQ(plan_of(std::vector<float>(400, 0.0f)).tables.num_chunks, 0);
  std::vector<float> x(400, 1e-20f);
  x[3] = 1;
  EXPECT_TRUE(plan_of(x).usable);
}

}  // namespace
}  // namespace quantnoise::kernels
