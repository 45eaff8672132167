#include "quantnoise/data/batching.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "quantnoise/base/error.h"
#include "quantnoise/base/file.h"

namespace quantnoise::data {
namespace {

using Numbers = std::vector<int64_t>;

nlohmann::json golden() {
  return nlohmann::json::parse(base::read_text_file(QN_SOURCE_DIR "/tests/golden/data/batches.json"));
}

std::vector<Numbers> as_lists(const BatchList& batches) {
  std::vector<Numbers> lists;
  for (int64_t b = 0; b < batches.size(); ++b) lists.emplace_back(batches[b].begin(), batches[b].end());
  return lists;
}

TEST(BatchBySize, GroupsAsTheReference) {
  for (const auto& expected : golden()["cases"]) {
    const Numbers sizes = expected["sizes"];
    const Numbers permutation = expected["permutation"];
    const Numbers indices = expected["indices"];
    const Numbers by_size = expected["by_size"];
    EXPECT_EQ(order_by_size(sizes, permutation), by_size);
    const BatchLimits limits{expected["max_tokens"], expected["max_sentences"], expected["multiple"]};
    const std::vector<Numbers> batches = expected["batches"];
    EXPECT_EQ(as_lists(batch_by_size(indices, sizes, limits)), batches) << expected.dump();
  }
}

TEST(BatchBySize, KeepsTheLastBatch) {
  const Numbers sizes(19, 10);
  const Numbers indices = random_permutation(19, 1, 1, "x");
  const auto batches = as_lists(batch_by_size(indices, sizes, {80, 0, 8}));
  ASSERT_EQ(batches.size(), 3u);
  EXPECT_EQ(batches[2].size(), 3u);
  // One long sample a batch: the reference drops the last of these too.
  EXPECT_EQ(batch_by_size(indices, sizes, {10, 0, 8}).size(), 19);
}

TEST(BatchBySize, TakesEverythingWithoutLimits) {
  const Numbers sizes = {3, 1, 2};
  EXPECT_EQ(batch_by_size(Numbers{0, 1, 2}, sizes, {0, 0, 1}).size(), 1);
  EXPECT_EQ(batch_by_size({}, sizes, {5, 0, 8}).size(), 0);
}

TEST(BatchBySize, NamesASampleThatIsTooLong) {
  try {
    batch_by_size(Numbers{1, 0}, Numbers{600, 5}, {512, 0, 8});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kData);
    EXPECT_STREQ(error.what(), "sample 0 has 600 tokens, expected at most 512 (--max-tokens)");
  }
}

TEST(Shards, TakeEveryNthAndFillUp) {
  for (const auto& expected : golden()["shards"]) {
    const Numbers order = expected["order"];
    const int num_shards = static_cast<int>(expected["shards"].size());
    for (int shard = 0; shard < num_shards; ++shard) {
      const Numbers mine = expected["shards"][static_cast<size_t>(shard)];
      EXPECT_EQ(shard_of(order, num_shards, shard), mine);
    }
  }
  EXPECT_THROW(shard_of(Numbers{1}, 2, 2), Error);
}

TEST(Permutation, DependsOnSeedEpochAndName) {
  const Numbers first = random_permutation(100, 7, 1, "a");
  EXPECT_EQ(first, random_permutation(100, 7, 1, "a"));
  EXPECT_NE(first, random_permutation(100, 7, 2, "a"));
  EXPECT_NE(first, random_permutation(100, 8, 1, "a"));
  EXPECT_NE(first, random_permutation(100, 7, 1, "b"));
  Numbers sorted = first;
  std::sort(sorted.begin(), sorted.end());
  EXPECT_EQ(sorted, epoch_batch_order(100, false, 7, 1));
}

TEST(FilterBySize, SeparatesLongSamples) {
  const Numbers sizes = {5, 9, 5, 10};
  const FilteredIndices filtered = filter_by_size(Numbers{3, 2, 1, 0}, sizes, 9);
  EXPECT_EQ(filtered.kept, (Numbers{2, 1, 0}));
  EXPECT_EQ(filtered.too_long, (Numbers{3}));
  EXPECT_TRUE(filter_by_size(Numbers{3}, sizes, 0).too_long.empty());
}

}  // namespace
}  // namespace quantnoise::data
