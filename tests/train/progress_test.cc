#include "learn/train/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "../base/temporary_folder.h"
#include "learn/train/meters.h"
#include "quantnoise/base/file.h"

namespace quantnoise::train {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

struct Captured {
  std::vector<std::string> results, messages, statuses;
  Output output(bool terminal) {
    Output output;
    output.result = [this](const std::string& line) { results.push_back(line); };
    output.message = [this](const std::string& line) { messages.push_back(line); };
    if (terminal) output.status = [this](const std::string& line) { statuses.push_back(line); };
    return output;
  }
};

Event sample() {
  return Event{"valid", {{"epoch", int64_t{2}}, {"loss", 1.0 / 3}, {"name", std::string("x")}}};
}

TEST(Progress, PlainLines) {
  Captured captured;
  Progress progress(captured.output(false), LogFormat::kSimple);
  progress.message("one\ntwo");
  progress.message("careful", "warning");
  progress.event(sample());
  progress.result(sample());
  EXPECT_THAT(captured.messages,
              ElementsAre("one", "two", "warning: careful", "valid | epoch 2 | loss 0.33333 | name x"));
  EXPECT_THAT(captured.results, ElementsAre("valid | epoch 2 | loss 0.333333333 | name x"));
}

TEST(Progress, JsonLinesHoldNumbersInFull) {
  Captured captured;
  Progress progress(captured.output(false), LogFormat::kJson);
  progress.message("one\ntwo", "plan");
  progress.result(sample());
  const auto plan = nlohmann::json::parse(captured.messages.at(0));
  EXPECT_EQ(plan, (nlohmann::json{{"event", "plan"}, {"text", "one\ntwo"}}));
  const auto result = nlohmann::json::parse(captured.results.at(0));
  EXPECT_EQ(result.at("loss").get<double>(), 1.0 / 3);
  EXPECT_EQ(result.at("event"), "valid");
}

TEST(Progress, TerminalLineIsWipedBeforeOtherLines) {
  Captured captured;
  Progress progress(captured.output(true), LogFormat::kProgress);
  progress.frequent(sample());
  progress.message("hello");
  progress.message("again");
  EXPECT_THAT(captured.statuses, ElementsAre("valid | epoch 2 | loss 0.33333 | name x", ""));
  EXPECT_THAT(captured.messages, ElementsAre("hello", "again"));
}

TEST(Progress, NoneLeavesOutFrequentLinesOnly) {
  Captured captured;
  Progress progress(captured.output(false), LogFormat::kNone);
  progress.frequent(sample());
  EXPECT_THAT(captured.messages, IsEmpty());
  progress.event(sample());
  EXPECT_EQ(captured.messages.size(), 1U);
}

TEST(Progress, LogFileGetsEverything) {
  const test::TemporaryFolder folder;
  Captured captured;
  {
    Progress progress(captured.output(false), LogFormat::kNone, folder.file("log"));
    progress.frequent(sample());
    progress.result(sample());
    progress.message("text");
  }
  const std::string text = base::read_text_file(folder.file("log"));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3);
}

TEST(Progress, FormatFollowsTheTerminalUnlessAskedFor) {
  EXPECT_EQ(choose_log_format("", true, false), LogFormat::kProgress);
  EXPECT_EQ(choose_log_format("", true, true), LogFormat::kSimple);
  EXPECT_EQ(choose_log_format("", false, false), LogFormat::kSimple);
  EXPECT_EQ(choose_log_format("tqdm", true, false), LogFormat::kProgress);
  EXPECT_EQ(choose_log_format("json", true, true), LogFormat::kJson);
  EXPECT_EQ(choose_log_format("none", true, false), LogFormat::kNone);
}

TEST(Meter, AveragesAndGoesOnFromItsState) {
  Meter meter;
  UpdateStats stats;
  stats.loss = 2 * std::log(2.0) * 10;
  stats.sample_size = stats.num_tokens = 10;
  stats.num_sentences = 2;
  stats.gradient_norm = 3;
  stats.clipped = true;
  meter.add(stats, 0.5);
  Meter other;
  other.load_state(meter.state());
  stats.gradient_norm = 1;
  stats.clipped = false;
  for (Meter* each : {&meter, &other}) each->add(stats, 0.5);
  EXPECT_DOUBLE_EQ(other.loss(), 2);
  Event event{"train", {}};
  other.describe(event);
  const std::map<std::string, EventValue> fields(event.fields.begin(), event.fields.end());
  EXPECT_DOUBLE_EQ(std::get<double>(fields.at("ppl")), 4);
  EXPECT_DOUBLE_EQ(std::get<double>(fields.at("wps")), 20);
  EXPECT_DOUBLE_EQ(std::get<double>(fields.at("ups")), 2);
  EXPECT_DOUBLE_EQ(std::get<double>(fields.at("gnorm")), 2);
  EXPECT_DOUBLE_EQ(std::get<double>(fields.at("clip")), 50);
  EXPECT_EQ(meter.state(), other.state());
}

}  // namespace
}  // namespace quantnoise::train
