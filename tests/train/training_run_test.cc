#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "quantnoise/base/file.h"
#include "quantnoise/pack/model_file.h"
#include "quantnoise/train/run.h"
#include "run_fixture.h"

namespace quantnoise::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::UnorderedElementsAre;

class TrainingRun : public RunFixture {
 protected:
  std::vector<std::string> files(const std::string& save_dir) const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(path(save_dir)))
      names.push_back(entry.path().filename());
    return names;
  }
};

struct LearningCase {
  const char* name;
  Options options;
};

class Learning : public RunFixture, public testing::WithParamInterface<LearningCase> {};

TEST_P(Learning, LossFallsWellBelowTheEntropyOfSingleWords) {
  Options options = GetParam().options;
  options["max-update"] = "160";
  options["no-save"] = "true";
  options["lr-scheduler"] = "cosine";
  options["warmup-updates"] = "10";
  const RunResult run = train("run", options);
  EXPECT_EQ(run.exit_code, 0);
  const double loss = run.events("valid").back().at("loss");
  EXPECT_LT(loss, kUnigramBits - 2);
  EXPECT_FALSE(std::filesystem::exists(path("run")));
}

INSTANTIATE_TEST_SUITE_P(
    All, Learning,
    testing::Values(LearningCase{"Fp32", {}}, LearningCase{"Bf16", {{"bf16", "true"}}},
                    LearningCase{"Fp32Noise", {{"quant-noise-pq", "0.1"}}},
                    LearningCase{"Bf16Noise", {{"quant-noise-pq", "0.1"}, {"fp16", "true"}}},
                    LearningCase{"AccumulationNoise",
                                 {{"quant-noise-pq", "0.1"}, {"update-freq", "3"}, {"max-tokens", "64"}}},
                    LearningCase{"MeanNoise", {{"quant-noise-pq", "0.1"}, {"quant-noise-kind", "mean"}}},
                    LearningCase{"ExactNoise",
                                 {{"quant-noise-pq", "0.2"},
                                  {"quant-noise-kind", "pq-exact"},
                                  {"quant-noise-centroids", "16"},
                                  {"quant-noise-refresh", "40"}}},
                    LearningCase{"FairseqAdam", {{"optimizer", "adam"}, {"adam-betas", "(0.9, 0.98)"}}},
                    LearningCase{
                        "Nag",
                        {{"optimizer", "nag"}, {"lr", "0.1"}, {"momentum", "0.9"}, {"clip-norm", "0.5"}}}),
    [](const auto& info) { return info.param.name; });

TEST_F(TrainingRun, NoiseOfProbabilityZeroIsNoNoise) {
  train("plain");
  train("zero", {{"quant-noise-pq", "0"}, {"quant-noise-kind", "mean"}, {"quant-noise-pq-block-size", "4"}});
  EXPECT_EQ(weights(path("plain/model.qn")), weights(path("zero/model.qn")));
}

TEST_F(TrainingRun, NoiseBeginsAtItsUpdate) {
  const Options noise = {{"quant-noise-pq", "0.2"}};
  Options late = noise;
  late["quant-noise-start-update"] = "12";
  Options middle = noise;
  middle["quant-noise-start-update"] = "6";
  train("plain");
  train("late", late);
  train("middle", middle);
  train("noise", noise);
  EXPECT_EQ(weights(path("plain/model.qn")), weights(path("late/model.qn")));
  EXPECT_NE(weights(path("plain/model.qn")), weights(path("middle/model.qn")));
  EXPECT_NE(weights(path("noise/model.qn")), weights(path("middle/model.qn")));
}

TEST_F(TrainingRun, SameSeedSameBytes) {
  const Options options = {{"quant-noise-pq", "0.1"}, {"update-freq", "2"}};
  Options other_seed = options;
  other_seed["seed"] = "2";
  Options other_workers = options;
  other_workers["num-workers"] = "0";
  train("a", options);
  train("b", options);
  train("c", other_seed);
  train("d", other_workers);
  const std::string bytes = base::read_text_file(path("a/model.qn"));
  EXPECT_TRUE(bytes == base::read_text_file(path("b/model.qn")));
  EXPECT_TRUE(bytes == base::read_text_file(path("d/model.qn")));
  EXPECT_NE(weights(path("a/model.qn")), weights(path("c/model.qn")));
}

TEST_F(TrainingRun, ListsNoisedWeightsAndOptionsWithoutEffect) {
  const RunResult run = train("run", {{"quant-noise-pq", "0.1"},
                                      {"quant-noise-pq-embeddings", "0.05"},
                                      {"quant-noise-exclude", R"(.*\.fc2)"},
                                      {"ddp-backend", "no_c10d"},
                                      {"bucket-cap-mb", "25"},
                                      {"max-update", "2"}});
  EXPECT_THAT(run.text(), HasSubstr("options without effect here: --ddp-backend, --bucket-cap-mb"));
  EXPECT_THAT(run.text(), HasSubstr("decoder.layers.1.self_attn.out_proj"));
  EXPECT_THAT(run.text(), HasSubstr("decoder.embed_tokens"));
  EXPECT_THAT(run.text(), HasSubstr("no noise on: decoder.layers.0.fc2, decoder.layers.1.fc2"));
  const auto history = nlohmann::json::parse(pack::read_model_file(path("run/model.qn")).history_json);
  EXPECT_EQ(history.at("noise").at("noised").size(), 11U);  // 2 × (4 attention, fc1) and the tied embedding
  EXPECT_EQ(history.at("task").at("tokens_per_sample"), 16);
}

TEST_F(TrainingRun, UpdateFreqCountsByEpoch) {
  // Epochs take num_batches / freq updates, the last group of an epoch may be short.
  const RunResult run = train("run", {{"update-freq", "1,4"}, {"max-update", "0"}, {"max-epoch", "3"}});
  const auto epochs = run.events("train");
  ASSERT_EQ(epochs.size(), 3U);
  const int64_t batches = epochs[0].at("update");
  const int64_t second = epochs[1].at("update").get<int64_t>() - batches;
  EXPECT_EQ(second, (batches + 3) / 4);
  EXPECT_EQ(epochs[2].at("update").get<int64_t>() - epochs[1].at("update").get<int64_t>(), second);
}

TEST_F(TrainingRun, ModelFileIsTheBestCheckpointWithoutTrainingState) {
  // The rate explodes in the end: the best model is not the last.
  const RunResult run = train("run", {{"max-update", "30"},
                                      {"validate-interval-updates", "5"},
                                      {"lr-scheduler", "triangular"},
                                      {"max-lr", "1.0"},
                                      {"lr-period-updates", "60"}});
  double best = 1e9;
  for (const auto& valid : run.events("valid")) best = std::min(best, valid.at("loss").get<double>());
  const nlohmann::json done = run.events("done").at(0);
  EXPECT_EQ(done.at("valid_loss"), best);
  EXPECT_LT(best, run.events("valid").back().at("loss").get<double>());
  EXPECT_EQ(done.at("bytes"), std::filesystem::file_size(path("run/model.qn")));
  const pack::ModelFile file = pack::read_model_file(path("run/model.qn"));
  EXPECT_EQ(file.kind, "model");
  EXPECT_EQ(pack::size_report(path("run/model.qn")).training_bytes, 0U);
  EXPECT_EQ(pack::read_model_file(path("run/checkpoint_best.qn")).kind, "checkpoint");
}

TEST_F(TrainingRun, PatienceEndsTheRun) {
  // Without learning there is no gain after the first validation.
  const Options options = {
      {"lr", "0"}, {"max-update", "100"}, {"validate-interval-updates", "2"}, {"patience", "3"}};
  const RunResult run = train("run", options);
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_EQ(run.events("done").at(0).at("updates"), 8);
  EXPECT_THAT(run.text(), HasSubstr("no gain in the last 3 validations"));
  EXPECT_EQ(train("run", options).events("done").at(0).at("updates"), 8) << "the same again trains no more";
}

TEST_F(TrainingRun, AFileTellsHowItsTargetsWereCut) {
  train("dense", {{"max-update", "1"}});
  base::write_text_file(path("recipe.yaml"),
                        "optimizer: adamw\nlr: 0.01\nmax-tokens: 128\nmax-update: 1\nthreads: 1\n"
                        "log-format: json\noutput-dictionary-size: 20\n");
  train_recipe(path("recipe.yaml"), "more", {{"restore-file", path("dense/model.qn")}});
  const auto history = nlohmann::json::parse(pack::read_model_file(path("more/model.qn")).history_json);
  EXPECT_EQ(history.at("task").at("tokens_per_sample"), 16) << "what the model has, not the option's default";
  EXPECT_EQ(history.at("task").at("output_dictionary_size"), 20);
}

// A better model of an earlier run in the same folder is not taken for one of this run.
TEST_F(TrainingRun, TheBestIsOneOfThisRun) {
  train("good");
  const auto earlier = weights(path("good/model.qn"));
  train("other", {{"max-update", "2"}});
  train("good", {{"restore-file", path("other/checkpoint_last.qn")},
                 {"max-update", "3"},
                 {"disable-validation", "true"}});
  EXPECT_NE(weights(path("good/model.qn")), earlier);
}

TEST_F(TrainingRun, PolynomialDecayHasNoAnnealingByEpochs) {
  EXPECT_THAT(error_of("x", {{"lr-scheduler", "polynomial_decay"}, {"force-anneal", "2"}}),
              HasSubstr("polynomial_decay with --force-anneal"));
}

TEST_F(TrainingRun, AnEmptyQuantizationConfigurationIsRefused) {
  EXPECT_THAT(error_of("x", {{"quantization-config-path", ""}}),
              HasSubstr("--quantization-config-path: found ''"));
}

TEST_F(TrainingRun, KeepsTheCheckpointsAskedFor) {
  train("run", {{"no-epoch-checkpoints", "false"},
                {"max-update", "0"},
                {"max-epoch", "3"},
                {"max-tokens", "1024"},
                {"save-interval-updates", "1"},
                {"keep-interval-updates", "2"},
                {"keep-last-epochs", "1"}});
  std::vector<std::string> names = files("run");
  std::erase_if(names, [](const std::string& name) { return name.starts_with("checkpoint_3_"); });
  EXPECT_THAT(names,
              UnorderedElementsAre("checkpoint3.qn", "checkpoint_last.qn", "checkpoint_best.qn", "model.qn"));
  EXPECT_EQ(files("run").size(), names.size() + 2);
}

TEST_F(TrainingRun, StopMinLrAndLimitsEndTheRun) {
  const RunResult by_rate = train(
      "rate",
      {{"lr", "0.01,0.001,0.0001"}, {"max-update", "0"}, {"max-tokens", "1024"}, {"stop-min-lr", "0.005"}});
  EXPECT_EQ(by_rate.events("train").size(), 1U);
  const RunResult by_epoch =
      train("epoch", {{"max-update", "1000"}, {"max-epoch", "2"}, {"max-tokens", "1024"}});
  EXPECT_EQ(by_epoch.events("done").at(0).at("epochs"), 2);
}

}  // namespace
}  // namespace quantnoise::test
