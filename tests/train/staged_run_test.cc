// Quantization by stages: what comes out, and that it can be stopped anywhere.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "quantnoise/base/file.h"
#include "quantnoise/data/dataset.h"
#include "quantnoise/pack/model_file.h"
#include "quantnoise/train/evaluate.h"
#include "quantnoise/train/model_io.h"
#include "run_fixture.h"

namespace quantnoise::test {
namespace {

using testing::HasSubstr;

class StagedRun : public RunFixture {
 protected:
  void SetUp() override { train("dense", {{"max-update", "60"}, {"quant-noise-pq", "0.1"}}); }

  Options staged(const Options& changes = {}) const {
    Options options = {{"restore-file", path("dense/checkpoint_best.qn")},
                       {"quantization-config-path", quantization_config()},
                       {"max-update", "12"},
                       {"lr", "0.002"},
                       {"quant-noise-pq", "0.1"},
                       {"save-interval-updates", "3"}};
    for (const auto& [name, value] : changes) options[name] = value;
    return options;
  }
  Options going_on(const std::string& save_dir, const Options& changes = {}) const {
    Options options = staged(changes);
    if (std::filesystem::exists(path(save_dir + "/checkpoint_last.qn"))) {
      options["restore-file"] = path(save_dir + "/checkpoint_last.qn");
    }
    return options;
  }
  double evaluate(const std::string& model) const {
    const train::LoadedModel loaded = train::load_model(model);
    const auto data = data::LanguageModelData::open(this->data());
    data::LanguageModelOptions options;
    options.tokens_per_sample = 16;
    const auto dataset = data.split("valid", options);
    return train::evaluate_nll(*loaded.model, *dataset, train::evaluation_batches(*dataset, 0, 3, 16)).loss();
  }
  std::string model_bytes(const std::string& save_dir) const {
    return base::read_text_file(path(save_dir + "/model.qn"));
  }
};

TEST_F(StagedRun, ReportsEveryStageAndItsFileHoldsWhatWasReported) {
  const RunResult run = train("staged", staged());
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_THAT(run.text(), HasSubstr("starting from the weights of"));
  ASSERT_EQ(run.events("plan").size(), 1U);
  EXPECT_THAT(run.text(), HasSubstr("decoder.layers.0.fc1"));
  const auto raw = run.events("stage_raw");
  const auto stages = run.events("stage");
  ASSERT_EQ(raw.size(), 3U);
  ASSERT_EQ(stages.size(), 3U);
  double bytes = 1e9;
  for (size_t i = 0; i < 3; ++i) {
    SCOPED_TRACE(i);
    EXPECT_EQ(stages[i].at("stage"), i + 1);
    EXPECT_EQ(stages[i].at("updates"), 4);
    EXPECT_EQ(stages[i].at("raw_loss"), raw[i].at("valid_loss"));
    EXPECT_EQ(stages[i].at("size_mib"), raw[i].at("size_mib"));
    EXPECT_LT(stages[i].at("bytes").get<double>(), bytes);
    bytes = stages[i].at("bytes");
    const std::string file = stages[i].at("path");
    EXPECT_EQ(std::filesystem::file_size(file), bytes);
    const double loss = stages[i].at("valid_loss");
    EXPECT_NEAR(evaluate(file), loss, 1e-6 * loss);
  }
  EXPECT_LT(stages[0].at("valid_loss").get<double>(), raw[0].at("valid_loss").get<double>());
  EXPECT_EQ(run.events("done").at(0).at("valid_loss"), stages[2].at("valid_loss"));
  EXPECT_EQ(weights(path("staged/model.qn")), weights(path("staged/model_stage3.qn")));
  const auto history = nlohmann::json::parse(pack::read_model_file(path("staged/model.qn")).history_json);
  EXPECT_EQ(history.at("stages").size(), 3U);
  EXPECT_TRUE(history.at("noise").at("noised").empty());
}

TEST_F(StagedRun, TiesAndPaddingSurvive) {
  train("staged", staged());
  for (const char* name : {"staged/model_stage1.qn", "staged/model_stage2.qn", "staged/model.qn"}) {
    const pack::ModelFile file = pack::read_model_file(path(name));
    EXPECT_EQ(file.ties.at("decoder.output_projection.weight"), "decoder.embed_tokens.weight");
    const codec::PackedWeight& embedding = file.weights.at("decoder.embed_tokens.weight");
    const std::vector<float> values = codec::unpack_to_float(embedding);
    for (int64_t i = 0; i < embedding.cols(); ++i)
      EXPECT_EQ(values[static_cast<size_t>(embedding.cols() + i)], 0.0F);
  }
}

TEST_F(StagedRun, KilledInAndBetweenStages) {
  train("whole", staged());
  for (const int updates : {1, 3, 4, 5, 8, 9, 11}) {
    SCOPED_TRACE(updates);
    const std::string folder = "killed" + std::to_string(updates);
    train_until_killed(folder, staged(), updates);
    train(folder, going_on(folder));
    EXPECT_TRUE(model_bytes(folder) == model_bytes("whole"));
  }
}

TEST_F(StagedRun, StoppedInAndBetweenStages) {
  const Options options = {{"save-interval-updates", "0"}};
  train("whole", staged(options));
  for (const int updates : {2, 4, 7}) {
    SCOPED_TRACE(updates);
    const std::string folder = "stopped" + std::to_string(updates);
    const RunResult stopped =
        train(folder, staged(options), [updates](int calls) { return calls == updates; });
    EXPECT_THAT(stopped.text(), HasSubstr("--restore-file " + path(folder + "/checkpoint_last.qn")));
    train(folder, going_on(folder, options));
    EXPECT_TRUE(model_bytes(folder) == model_bytes("whole"));
  }
}

TEST_F(StagedRun, EpochsCanBeSharedOutToo) {
  const Options options = {
      {"max-update", "0"}, {"max-epoch", "3"}, {"max-tokens", "512"}, {"save-interval-updates", "2"}};
  const RunResult run = train("whole", staged(options));
  const auto stages = run.events("stage");
  ASSERT_EQ(stages.size(), 3U);
  EXPECT_EQ(stages[0].at("updates"), stages[2].at("updates"));
  const int updates = stages[0].at("updates");
  train_until_killed("killed", staged(options), updates + 1);
  train("killed", going_on("killed", options));
  EXPECT_TRUE(model_bytes("killed") == model_bytes("whole"));
}

TEST_F(StagedRun, LearningRateIsThatOfTheRealUpdate) {
  const RunResult run =
      train("staged", staged({{"lr-scheduler", "polynomial_decay"}, {"log-interval", "1"}}));
  for (const auto& event : run.events("train_inner")) {
    const double done = event.at("update").get<double>() - 1;
    EXPECT_NEAR(event.at("lr").get<double>(), 0.002 * (1 - done / 12), 1e-12);
  }
}

TEST_F(StagedRun, CentroidGradientsCanBeMeans) {
  train("sum", staged());
  train("mean", staged({{"pq-gradient", "mean"}}));
  EXPECT_NE(weights(path("sum/model.qn")), weights(path("mean/model.qn")));
}

TEST_F(StagedRun, QuantizeDoesTheSameWithoutFinetuning) {
  const RunResult run = quantize({{"model", path("dense/model.qn")},
                                  {"config", quantization_config()},
                                  {"output", path("compressed.qn")}});
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_EQ(run.events("stage").size(), 3U);
  const nlohmann::json done = run.events("done").at(0);
  EXPECT_EQ(done.at("bytes"), std::filesystem::file_size(path("compressed.qn")));
  EXPECT_EQ(done.at("bytes_before"), std::filesystem::file_size(path("dense/model.qn")));
  EXPECT_LT(done.at("bytes").get<double>(), done.at("bytes_before").get<double>());
  // Without updates the staged run holds the same.
  train("staged", staged({{"restore-file", path("dense/model.qn")}, {"lr", "0"}, {"max-update", "3"}}));
  EXPECT_EQ(weights(path("compressed.qn")), weights(path("staged/model.qn")));
  EXPECT_NEAR(evaluate(path("compressed.qn")), evaluate(path("staged/model.qn")), 1e-12);
}

TEST_F(StagedRun, ACompressedModelCanBeTrainedOn) {
  train("staged", staged());
  const RunResult run = train("more", {{"restore-file", path("staged/model.qn")}, {"lr", "0.002"}});
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_EQ(pack::read_model_file(path("more/model.qn")).weights.at("decoder.layers.0.fc1.weight").scheme,
            codec::Scheme::kProduct);
}

TEST_F(StagedRun, BadInput) {
  EXPECT_THAT(error_of("x", staged({{"max-update", "10"}})),
              HasSubstr("cannot be shared out among 3 stages"));
  EXPECT_THAT(error_of("x", staged({{"max-update", "0"}})), HasSubstr("exactly one of"));
  EXPECT_THAT(error_of("x", staged({{"patience", "2"}})), HasSubstr("--patience cannot be combined"));
  EXPECT_THAT(error_of("x", staged({{"quantization-config-path", path("none.yaml")}})),
              HasSubstr("none.yaml"));
  EXPECT_FALSE(std::filesystem::exists(path("x")));
  train("staged", staged());
  const std::string last = path("staged/checkpoint_last.qn");
  EXPECT_THAT(error_of("x", {{"restore-file", last}}), HasSubstr("--quantization-config-path is not given"));
  std::string text = base::read_text_file(quantization_config());
  text.replace(text.find("fc: 8"), 5, "fc: 4");
  base::write_text_file(path("other.yaml"), text);
  EXPECT_THAT(
      error_of("x", staged({{"restore-file", last}, {"quantization-config-path", path("other.yaml")}})),
      HasSubstr("another configuration"));
}

}  // namespace
}  // namespace quantnoise::test
