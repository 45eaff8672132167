// Several data folders that take turns by epochs.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "quantnoise/base/file.h"
#include "run_fixture.h"

namespace quantnoise::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class DataShards : public RunFixture {
 protected:
  void SetUp() override {
    // A second folder with the same dictionary and less text: the validation split stands for both.
    std::filesystem::copy(data(), path("second"));
    for (const char* kind : {".bin", ".idx"}) {
      std::filesystem::copy_file(data() + "/valid" + kind, path("second/train") + kind,
                                 std::filesystem::copy_options::overwrite_existing);
    }
  }
  Options both(const Options& changes = {}) const {
    Options options = {{"data", data() + ":" + path("second")},
                       {"max-update", "0"},
                       {"max-epoch", "4"},
                       {"max-tokens", "256"},
                       {"dropout", "0"}};
    for (const auto& [name, value] : changes) options[name] = value;
    return options;
  }
};

TEST_F(DataShards, TakeTurns) {
  const RunResult run = train("run", both());
  const auto epochs = run.events("train");
  ASSERT_EQ(epochs.size(), 4U);
  std::vector<int64_t> updates = {0};
  for (const auto& epoch : epochs) updates.push_back(epoch.at("update").get<int64_t>());
  EXPECT_EQ(updates[1] - updates[0], updates[3] - updates[2]);
  EXPECT_EQ(updates[2] - updates[1], updates[4] - updates[3]);
  EXPECT_GT(updates[1] - updates[0], 2 * (updates[2] - updates[1]));
}

TEST_F(DataShards, StoppedInAnyOfThemGoOnToTheBit) {
  const Options options = both({{"save-interval-updates", "1"}});
  train("whole", options);
  for (const int updates : {3, 15, 18}) {
    SCOPED_TRACE(updates);
    const std::string folder = "killed" + std::to_string(updates);
    train_until_killed(folder, options, updates);
    train(folder, options);
    EXPECT_TRUE(model_bytes(folder) == model_bytes("whole"));
  }
}

TEST_F(DataShards, MayDoWithoutADictionaryOfTheirOwn) {
  std::filesystem::remove(path("second/dict.txt"));
  EXPECT_EQ(train("run", both({{"max-epoch", "2"}})).events("train").size(), 2U);
}

TEST_F(DataShards, WithoutTheSplitAreRefusedBeforeAnyTraining) {
  std::filesystem::remove(path("second/train.idx"));
  EXPECT_THAT(error_of("run", both({{"max-epoch", "1"}})),
              AllOf(HasSubstr("no split 'train'"), HasSubstr(path("second"))));
  EXPECT_FALSE(std::filesystem::exists(path("run")));
}

// What is wrong with the next folder costs nothing that was trained.
TEST_F(DataShards, AreOpenedWhenTheEpochBeforeIsSaved) {
  base::write_text_file(path("second/train.bin"), "");
  EXPECT_THAT(error_of("run", both()), HasSubstr(path("second/train")));
  EXPECT_TRUE(std::filesystem::exists(path("run/checkpoint_last.qn")));
  EXPECT_EQ(train("other", both({{"max-epoch", "1"}})).exit_code, 0);
}

TEST_F(DataShards, RefuseAnotherDictionary) {
  const std::string dictionary = base::read_text_file(path("second/dict.txt"));
  base::write_text_file(path("second/dict.txt"), dictionary + "another 1\n");
  EXPECT_THAT(error_of("run", both()), HasSubstr(path("second")));
}

}  // namespace
}  // namespace quantnoise::test
