#include "quantnoise/data/iterator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <set>

#include "quantnoise/base/error.h"
#include "quantnoise/base/log.h"

namespace quantnoise::data {
namespace {

using ::testing::HasSubstr;
using Numbers = std::vector<int64_t>;

// Samples of 1 to 7 tokens; sample `failing` cannot be read.
class FakeDataset : public BatchDataset {
 public:
  explicit FakeDataset(int64_t count, int64_t failing = -1) : failing_(failing) {
    for (int64_t i = 0; i < count; ++i) sizes_.push_back(1 + i * 5 % 7);
  }
  const Numbers& sizes() const override { return sizes_; }
  Batch collate(std::span<const int64_t> ids) const override {
    ++num_collated;
    Batch batch;
    batch.ids.assign(ids.begin(), ids.end());
    batch.num_sentences = static_cast<int64_t>(ids.size());
    for (const int64_t id : ids) QN_REQUIRE(id != failing_, ErrorKind::kData, "sample ", id, " is bad");
    return batch;
  }
  mutable std::atomic<int64_t> num_collated{0};

 private:
  Numbers sizes_;
  int64_t failing_;
};

IteratorOptions options_of(int num_workers) {
  IteratorOptions options;
  options.limits = {21, 0, 1};
  options.num_workers = num_workers;
  options.data_buffer_size = 3;
  return options;
}

std::vector<Numbers> rest_of_epoch(EpochIterator& iterator) {
  std::vector<Numbers> batches;
  while (const auto batch = iterator.next()) batches.push_back(batch->ids);
  return batches;
}

class EpochIteratorTest : public ::testing::TestWithParam<int> {
 protected:
  EpochIterator make(IteratorOptions options) { return EpochIterator(dataset_, options); }
  EpochIterator make() { return make(options_of(GetParam())); }
  std::shared_ptr<const FakeDataset> dataset_ = std::make_shared<const FakeDataset>(100);
};

INSTANTIATE_TEST_SUITE_P(Workers, EpochIteratorTest, ::testing::Values(0, 1, 4));

TEST_P(EpochIteratorTest, GivesEverySampleOnceAnEpoch) {
  EpochIterator iterator = make();
  std::set<int64_t> first_batches;
  for (int64_t epoch = 1; epoch <= 3; ++epoch) {
    EXPECT_EQ(iterator.epoch(), epoch);
    const auto batches = rest_of_epoch(iterator);
    EXPECT_EQ(static_cast<int64_t>(batches.size()), iterator.num_batches());
    EXPECT_TRUE(iterator.end_of_epoch());
    EXPECT_FALSE(iterator.next().has_value());
    std::set<int64_t> seen;
    for (const Numbers& batch : batches) seen.insert(batch.begin(), batch.end());
    EXPECT_EQ(seen.size(), 100u);
    first_batches.insert(batches[0][0]);
    iterator.next_epoch();
  }
  EXPECT_GT(first_batches.size(), 1u);  // shuffled anew
}

TEST_P(EpochIteratorTest, GoesOnAtAnyBatch) {
  EpochIterator undisturbed = make();
  std::vector<std::pair<IteratorState, std::vector<Numbers>>> futures;
  for (int epoch = 0; epoch < 2; ++epoch, undisturbed.next_epoch()) {
    std::vector<IteratorState> states = {undisturbed.state()};
    std::vector<Numbers> batches;
    while (const auto batch = undisturbed.next()) {
      batches.push_back(batch->ids);
      states.push_back(undisturbed.state());
    }
    for (size_t i = 0; i < states.size(); ++i) {
      futures.emplace_back(states[i],
                           std::vector<Numbers>(batches.begin() + static_cast<int64_t>(i), batches.end()));
    }
  }
  for (const auto& [state, future] : futures) {
    EpochIterator resumed = make();
    resumed.next();
    resumed.restore(state);
    EXPECT_EQ(resumed.epoch(), state.epoch);
    EXPECT_EQ(resumed.position(), state.position);
    EXPECT_EQ(rest_of_epoch(resumed), future);
  }
}

TEST_P(EpochIteratorTest, SharesBatchesAmongShards) {
  std::multiset<int64_t> seen;
  int64_t num_empty = 0;
  IteratorOptions options = options_of(GetParam());
  options.num_shards = 4;
  const int64_t num_batches = make_batches(*dataset_, options).size();
  for (options.shard = 0; options.shard < 4; ++options.shard) {
    EpochIterator iterator = make(options);
    EXPECT_EQ(iterator.num_batches(), (num_batches + 3) / 4);
    for (const Numbers& batch : rest_of_epoch(iterator)) {
      seen.insert(batch.begin(), batch.end());
      num_empty += batch.empty();
    }
  }
  EXPECT_EQ(seen.size(), 100u);
  EXPECT_EQ(num_empty, (4 - num_batches % 4) % 4);
}

TEST_P(EpochIteratorTest, HandsExceptionsToTheConsumer) {
  dataset_ = std::make_shared<const FakeDataset>(100, 50);
  EpochIterator iterator = make();
  int64_t num_good = 0;
  try {
    while (iterator.next()) ++num_good;
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "sample 50 is bad");
  }
  EXPECT_EQ(iterator.position(), num_good);
  EXPECT_THROW(iterator.next(), Error);
}

TEST_P(EpochIteratorTest, StopsInTheMiddle) {
  EpochIterator iterator = make();
  iterator.next();
  EpochIterator moved = std::move(iterator);
  EXPECT_TRUE(moved.next().has_value());
  EXPECT_LE(dataset_->num_collated, 2 + 3 + 1);  // bounded: consumed, queue, one in work
}

TEST_P(EpochIteratorTest, KeepsTheOrderWhenAsked) {
  IteratorOptions options = options_of(GetParam());
  options.shuffle = false;
  options.order = SampleOrder::kSequential;
  EpochIterator iterator = make(options);
  Numbers all;
  for (const Numbers& batch : rest_of_epoch(iterator)) all.insert(all.end(), batch.begin(), batch.end());
  EXPECT_TRUE(std::is_sorted(all.begin(), all.end()));
  options.shuffle = true;
  options.curriculum = 1;
  EpochIterator curriculum = make(options);
  EXPECT_EQ(curriculum.next()->ids[0], 0);
}

TEST(EpochIterator, RefusesAStateOfOtherData) {
  const auto dataset = std::make_shared<const FakeDataset>(100);
  EpochIterator iterator(dataset, options_of(0));
  iterator.next();
  const IteratorState state = iterator.state();
  IteratorOptions others = options_of(0);
  others.limits.max_tokens = 28;
  EpochIterator different(dataset, others);
  try {
    different.restore(state);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kData);
    EXPECT_THAT(error.hint(), HasSubstr("--reset-dataloader"));
  }
  others = options_of(0);
  others.seed = 2;
  EXPECT_THROW(EpochIterator(dataset, others).restore(state), Error);
  // The same batches in another order: some would come twice, others not at all.
  others = options_of(0);
  others.curriculum = 1;
  EXPECT_THROW(EpochIterator(dataset, others).restore(state), Error);
  EpochIterator unshuffled(dataset, others);
  unshuffled.next();
  EXPECT_THROW(iterator.restore(unshuffled.state()), Error);
  EXPECT_NO_THROW(EpochIterator(dataset, others).restore(unshuffled.state()));
  different.restore({5, 0, state.num_batches, state.batches_hash});
  EXPECT_EQ(different.epoch(), 5);
  different.restore({5, state.num_batches, state.num_batches, state.batches_hash});
  EXPECT_TRUE(different.end_of_epoch());
  EXPECT_THROW(different.seek(0, 0), Error);
  EXPECT_THROW(different.seek(1, 1000), Error);
}

TEST(EpochIterator, SkipsOrRefusesLongSamples) {
  const auto dataset = std::make_shared<const FakeDataset>(14);
  IteratorOptions options = options_of(0);
  options.max_positions = 6;
  std::string warning;
  const auto former =
      base::set_log_sink([&](base::LogLevel, const std::string& message) { warning = message; });
  EpochIterator iterator(dataset, options);
  base::set_log_sink(former);
  EXPECT_THAT(warning, HasSubstr("2 samples are longer than 6 tokens"));
  size_t num_samples = 0;
  for (const Numbers& batch : rest_of_epoch(iterator)) num_samples += batch.size();
  EXPECT_EQ(num_samples, 12u);
  options.skip_too_long = false;
  EXPECT_THROW(EpochIterator(dataset, options), Error);
  options.skip_too_long = true;
  EXPECT_THROW(EpochIterator(std::make_shared<const FakeDataset>(0), options), Error);
}

}  // namespace
}  // namespace quantnoise::data
