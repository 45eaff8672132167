#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <set>

#include "../base/temporary_folder.h"
#include "learn/train/checkpoint.h"
#include "learn/train/stages.h"
#include "quantnoise/base/error.h"
#include "quantnoise/base/file.h"

namespace quantnoise::train {
namespace {

using testing::HasSubstr;

std::set<std::string> files_of(const test::TemporaryFolder& folder) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path()))
    names.insert(entry.path().filename());
  return names;
}

void touch(const test::TemporaryFolder& folder, std::initializer_list<const char*> names) {
  for (const char* name : names) base::write_text_file(folder.file(name), "x");
}

TEST(PruneCheckpoints, KeepsTheLastByNumberNotByName) {
  const test::TemporaryFolder folder;
  touch(folder,
        {"checkpoint9.qn", "checkpoint10.qn", "checkpoint8.qn", "checkpoint_1_90.qn", "checkpoint_2_100.qn",
         "checkpoint_2_110.qn", "checkpoint_last.qn", "checkpoint_best.qn", "notes.txt", "checkpoint7.pt"});
  Retention retention;
  retention.last_epochs = 2;
  retention.interval_updates = 1;
  prune_checkpoints(folder.path(), retention);
  EXPECT_EQ(files_of(folder), (std::set<std::string>{"checkpoint9.qn", "checkpoint10.qn",
                                                     "checkpoint_2_110.qn", "checkpoint_last.qn",
                                                     "checkpoint_best.qn", "notes.txt", "checkpoint7.pt"}));
}

TEST(PruneCheckpoints, KeepsMultiplesOfThePattern) {
  const test::TemporaryFolder folder;
  touch(folder, {"checkpoint_1_10.qn", "checkpoint_1_20.qn", "checkpoint_1_30.qn", "checkpoint_1_40.qn",
                 "checkpoint_1_50.qn"});
  Retention retention;
  retention.interval_updates = 1;
  retention.interval_updates_pattern = 20;
  prune_checkpoints(folder.path(), retention);
  EXPECT_EQ(files_of(folder),
            (std::set<std::string>{"checkpoint_1_20.qn", "checkpoint_1_40.qn", "checkpoint_1_50.qn"}));
}

TEST(CheckpointNames, AmongTheBestIsWhoIsNotWorseThanTheWorstKept) {
  const test::TemporaryFolder folder;
  Retention retention;
  EXPECT_FALSE(is_among_best(folder.path(), retention, 1)) << "none are kept";
  retention.best = 2;
  touch(folder, {"checkpoint.best_loss_4.000_70.qn"});
  EXPECT_TRUE(is_among_best(folder.path(), retention, 9)) << "there is room";
  touch(folder, {"checkpoint.best_loss_5.000_80.qn"});
  EXPECT_TRUE(is_among_best(folder.path(), retention, 4.5));
  EXPECT_FALSE(is_among_best(folder.path(), retention, 5.5));
  retention.maximize = true;
  EXPECT_TRUE(is_among_best(folder.path(), retention, 4.5));
  EXPECT_FALSE(is_among_best(folder.path(), retention, 3.5));
}

TEST(PruneCheckpoints, KeepsTheBest) {
  const test::TemporaryFolder folder;
  touch(folder, {"checkpoint.best_loss_4.500_30.qn", "checkpoint.best_loss_12.250_10.qn",
                 "checkpoint.best_loss_3.994_40.qn"});
  EXPECT_EQ(ranked_checkpoint("loss", 3.994, 40), "checkpoint.best_loss_3.994_40.qn");
  Retention retention;
  retention.best = 2;
  prune_checkpoints(folder.path(), retention);
  EXPECT_EQ(files_of(folder),
            (std::set<std::string>{"checkpoint.best_loss_3.994_40.qn", "checkpoint.best_loss_4.500_30.qn"}));
  retention.best = 1;
  retention.maximize = true;
  prune_checkpoints(folder.path(), retention);
  EXPECT_EQ(files_of(folder), (std::set<std::string>{"checkpoint.best_loss_4.500_30.qn"}));
}

// Values that differ in the third place, or not at all, are files of their own.
TEST(PruneCheckpoints, TellsCloseValuesApart) {
  const test::TemporaryFolder folder;
  Retention retention;
  retention.best = 3;
  for (const auto& [value, updates] : {std::pair(6.496, 10), std::pair(6.490, 20), std::pair(6.483, 30),
                                       std::pair(6.476, 40), std::pair(6.484, 50), std::pair(6.476, 60)}) {
    if (is_among_best(folder.path(), retention, value))
      base::write_text_file(folder.file(ranked_checkpoint("loss", value, updates)), "x");
    prune_checkpoints(folder.path(), retention);
  }
  EXPECT_EQ(files_of(folder),
            (std::set<std::string>{"checkpoint.best_loss_6.476_40.qn", "checkpoint.best_loss_6.476_60.qn",
                                   "checkpoint.best_loss_6.483_30.qn"}));
  // Of equal ones the latest, by number; files of earlier versions count.
  touch(folder, {"checkpoint.best_loss_6.476_100.qn", "checkpoint.best_loss_6.47.qn"});
  retention.best = 2;
  prune_checkpoints(folder.path(), retention);
  EXPECT_EQ(files_of(folder),
            (std::set<std::string>{"checkpoint.best_loss_6.47.qn", "checkpoint.best_loss_6.476_100.qn"}));
  for (const double diverged : {double{INFINITY}, 1e200})
    EXPECT_FALSE(is_among_best(folder.path(), retention, diverged));
}

TEST(TrainingState, SurvivesTheWayThroughJson) {
  TrainingState state;
  state.num_updates = 12;
  state.iterator = {2, 7, 30, 0xFEDCBA9876543210U};
  state.optimizer = "nag";
  state.lr_scheduler = "fixed";
  state.scheduler_state = {{"lr", 1.0 / 3}};
  state.meter = {{"seconds", 0.1}};
  state.best_metric = 4.125;
  state.validations_without_gain = 3;
  state.stages.config = R"({"a":1})";
  state.stages.current = 1;
  state.stages.finished = false;
  state.stages.records = {{1, {"fc1"}, 0, 5, 4.5, 4.25}, {2, {"fc2"}, 5, 0, 5.5, std::nullopt}};
  state.options = R"({"lr":[0.1]})";
  const std::string text = to_json(state);
  const TrainingState back = training_state_from_json(text);
  EXPECT_EQ(to_json(back), text);
  EXPECT_EQ(back.iterator.batches_hash, state.iterator.batches_hash);
  EXPECT_EQ(back.scheduler_state.at("lr"), 1.0 / 3);
  EXPECT_FALSE(back.best_loss.has_value());
  EXPECT_THROW(training_state_from_json("{}"), Error);
  EXPECT_THROW(training_state_from_json("[1"), Error);
}

std::string schedule_error(int64_t stages, int64_t max_epoch, int64_t max_update) {
  try {
    StageSchedule::make(stages, max_epoch, max_update);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfig);
    return str_cat(error.what(), "; ", error.hint());
  }
  return "";
}

TEST(StageSchedule, NeedsExactlyOneLimitThatCanBeSharedOut) {
  EXPECT_THAT(schedule_error(3, 0, 0), HasSubstr("exactly one of --max-epoch and --max-update"));
  EXPECT_THAT(schedule_error(3, 3, 30), HasSubstr("found --max-epoch 3 and --max-update 30"));
  EXPECT_THAT(schedule_error(3, 0, 100), HasSubstr("--max-update 100 cannot be shared out among 3 stages"));
  EXPECT_THAT(schedule_error(3, 0, 100), HasSubstr("--max-update 99 or 102 would do"));
  EXPECT_THAT(schedule_error(3, 2, 0), HasSubstr("--max-epoch 3 would do"));
  EXPECT_EQ(schedule_error(3, 0, 300), "");
  const StageSchedule by_update = StageSchedule::make(3, 0, 300);
  EXPECT_EQ(by_update.shares_over(99, 7), 0);
  EXPECT_EQ(by_update.shares_over(100, 0), 1);
  EXPECT_EQ(StageSchedule::make(3, 6, 0).shares_over(1000, 3), 1);
}

}  // namespace
}  // namespace quantnoise::train
