// Stop anywhere and go on: the final files equal those of an undisturbed run, bit for bit.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "quantnoise/train/run.h"
#include "run_fixture.h"

namespace quantnoise::test {
namespace {

using testing::HasSubstr;

class Resume : public RunFixture {};

const Options& busy_run() {
  static const Options options = {{"max-update", "16"},      {"update-freq", "2"},
                                  {"max-tokens", "256"},  // about seven updates an epoch
                                  {"quant-noise-pq", "0.2"}, {"lr-scheduler", "cosine"},
                                  {"warmup-updates", "4"},   {"save-interval-updates", "3"}};
  return options;
}

TEST_F(Resume, AfterAKillAtSeveralUpdates) {
  train("whole", busy_run());
  for (const int updates : {1, 3, 4, 8, 13, 15}) {
    SCOPED_TRACE(updates);
    const std::string folder = "killed" + std::to_string(updates);
    train_until_killed(folder, busy_run(), updates);
    const RunResult rest = train(folder, busy_run());
    EXPECT_EQ(rest.exit_code, 0);
    EXPECT_TRUE(model_bytes(folder) == model_bytes("whole"));
  }
}

TEST_F(Resume, AfterKillsOfTheSameRunAgainAndAgain) {
  train("whole", busy_run());
  for (int i = 0; i < 5; ++i) train_until_killed("killed", busy_run(), 4);
  train("killed", busy_run());
  EXPECT_TRUE(model_bytes("killed") == model_bytes("whole"));
}

TEST_F(Resume, AfterAStopRequest) {
  Options options = busy_run();
  options["save-interval-updates"] = "0";
  train("whole", options);
  const RunResult stopped = train("stopped", options, [](int calls) { return calls == 5; });
  EXPECT_EQ(stopped.exit_code, train::kStoppedEarly);
  EXPECT_THAT(stopped.text(), HasSubstr("stopped at update 5"));
  EXPECT_THAT(stopped.text(), HasSubstr("go on with the same command"));
  EXPECT_TRUE(stopped.events("done").empty());
  EXPECT_EQ(train("stopped", options).exit_code, 0);
  EXPECT_TRUE(model_bytes("stopped") == model_bytes("whole"));
}

struct ResumeCase {
  const char* name;
  Options options;
};

class ResumeWith : public Resume, public testing::WithParamInterface<ResumeCase> {};

TEST_P(ResumeWith, OtherOptimizersSchedulesAndNoise) {
  Options options = busy_run();
  for (const auto& [name, value] : GetParam().options) options[name] = value;
  train("whole", options);
  train_until_killed("killed", options, 11);
  train("killed", options);
  EXPECT_TRUE(model_bytes("killed") == model_bytes("whole"));
}

INSTANTIATE_TEST_SUITE_P(
    All, ResumeWith,
    testing::Values(
        ResumeCase{"Nag", {{"optimizer", "nag"}, {"lr", "0.1"}}}, ResumeCase{"Adam", {{"optimizer", "adam"}}},
        ResumeCase{"Sgd", {{"optimizer", "sgd"}, {"momentum", "0.9"}, {"lr", "0.1"}}},
        ResumeCase{
            "Plateau",
            {{"lr-scheduler", "reduce_lr_on_plateau"}, {"lr-threshold", "0.5"}, {"warmup-updates", "1"}}},
        ResumeCase{"ExactNoise",
                   {{"quant-noise-kind", "pq-exact"},
                    {"quant-noise-centroids", "8"},
                    {"quant-noise-refresh", "7"},
                    {"quant-noise-start-update", "2"}}},
        ResumeCase{"Bf16", {{"bf16", "true"}}}),
    [](const auto& info) { return info.param.name; });

TEST_F(Resume, GoesOnWithMoreUpdates) {
  Options options = busy_run();
  options["lr-scheduler"] = "fixed";
  train("whole", options);
  Options half = options;
  half["max-update"] = "7";
  train("halves", half);
  train("halves", options);
  EXPECT_EQ(weights(path("whole/checkpoint_last.qn")), weights(path("halves/checkpoint_last.qn")));
}

TEST_F(Resume, AFinishedRunStaysAsItIs) {
  train("run", busy_run());
  const std::string bytes = model_bytes("run");
  const RunResult again = train("run", busy_run());
  EXPECT_EQ(again.exit_code, 0);
  EXPECT_TRUE(model_bytes("run") == bytes);
}

TEST_F(Resume, ResetsTakeTheWeightsAlone) {
  train("first", {{"max-update", "5"}});
  const RunResult run = train("second", {{"restore-file", path("first/checkpoint_last.qn")},
                                         {"reset-optimizer", "true"},
                                         {"reset-dataloader", "true"},
                                         {"reset-meters", "true"},
                                         {"optimizer", "nag"},
                                         {"lr", "0"},
                                         {"max-update", "3"}});
  EXPECT_THAT(run.text(), HasSubstr("starting from the weights of"));
  EXPECT_EQ(run.events("done").at(0).at("updates"), 3);
  EXPECT_EQ(weights(path("first/model.qn")), weights(path("second/model.qn")));
}

TEST_F(Resume, AModelFileStartsANewRun) {
  train("first", {{"max-update", "5"}});
  const RunResult run =
      train("second", {{"restore-file", path("first/model.qn")}, {"lr", "0"}, {"max-update", "2"}});
  EXPECT_EQ(run.events("done").at(0).at("updates"), 2);
  EXPECT_EQ(weights(path("first/model.qn")), weights(path("second/model.qn")));
}

TEST_F(Resume, FinetuningPrefersItsOwnCheckpoint) {
  train("first", {{"max-update", "5"}});
  const Options finetune = {{"finetune-from-model", path("first/checkpoint_last.qn")},
                            {"save-interval-updates", "2"}};
  train("whole", finetune);
  train_until_killed("killed", finetune, 5);
  const RunResult rest = train("killed", finetune);
  EXPECT_THAT(rest.text(), HasSubstr("at update 4"));
  EXPECT_TRUE(model_bytes("killed") == model_bytes("whole"));
}

}  // namespace
}  // namespace quantnoise::test
