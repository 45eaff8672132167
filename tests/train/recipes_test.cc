// Every file in recipes/ runs, as it is but for the number of updates.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "quantnoise/base/file.h"
#include "quantnoise/config/yaml.h"
#include "quantnoise/train/evaluate.h"
#include "quantnoise/train/model_io.h"
#include "run_fixture.h"

namespace quantnoise::test {
namespace {

std::string recipe(const std::string& name) { return std::string(QN_SOURCE_DIR) + "/recipes/" + name; }

std::vector<std::string> recipes(bool quantization) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(recipe(""))) {
    const std::string text = base::read_text_file(entry.path());
    if ((text.find("layers_to_quantize") != std::string::npos) == quantization)
      names.push_back(entry.path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

/// Recipes for large vocabularies, cut to the 40 words of the test's text.
Options small_enough(const std::string& name) {
  Options options = {{"max-update", "2"}, {"warmup-updates", "1"}};
  if (!name.starts_with("wiki")) return options;
  options.insert({{"adaptive-input-cutoff", "8,20"},
                  {"adaptive-softmax-cutoff", "8,20"},
                  {"decoder-embed-dim", "128"},
                  {"decoder-input-dim", "128"},
                  {"decoder-output-dim", "128"},
                  {"decoder-ffn-embed-dim", "128"},
                  {"decoder-layers", "2"},
                  {"adaptive-input", "true"}});
  return options;
}

class Recipe : public RunFixture, public testing::WithParamInterface<std::string> {};

TEST_P(Recipe, Trains) {
  const RunResult run = train_recipe(recipe(GetParam()), "run", small_enough(GetParam()));
  EXPECT_EQ(run.exit_code, 0);
  EXPECT_EQ(run.events("done").at(0).at("updates"), 2);
}
INSTANTIATE_TEST_SUITE_P(All, Recipe, testing::ValuesIn(recipes(false)),
                         [](const auto& info) { return std::filesystem::path(info.param).stem().string(); });

class QuantizationRecipe : public RunFixture, public testing::WithParamInterface<std::string> {};

TEST_P(QuantizationRecipe, CompressesTheWholeModel) {
  Options options = {{"max-update", "2"}};
  if (GetParam().starts_with("wiki")) {
    options.insert(adaptive_options().begin(), adaptive_options().end());
  }
  train("dense", options);
  const RunResult run = quantize(
      {{"model", path("dense/model.qn")}, {"config", recipe(GetParam())}, {"output", path("compressed.qn")}});
  const auto stages = run.events("stage");
  EXPECT_EQ(stages.size(), config::load_quantization_config(recipe(GetParam())).layers_to_quantize.size());
  for (const auto& stage : stages) EXPECT_GT(stage.at("layers").get<int>(), 0);
}
INSTANTIATE_TEST_SUITE_P(All, QuantizationRecipe, testing::ValuesIn(recipes(true)),
                         [](const auto& info) { return std::filesystem::path(info.param).stem().string(); });

class SmallRecipes : public RunFixture {};

// From the dense model to the compressed file, by the files alone but for the number of updates and the text.
TEST_F(SmallRecipes, TrainQuantizeAndEvaluate) {
  const Options cutoffs = {{"adaptive-input-cutoff", "8,20"}, {"adaptive-softmax-cutoff", "8,20"}};
  train_recipe(recipe("wiki103_small_train.yaml"), "dense", with(cutoffs, {{"max-update", "3"}}));
  const RunResult run =
      train_recipe(recipe("wiki103_small_quantize.yaml"), "quantized",
                   with(cutoffs, {{"max-update", "3"},
                                  {"restore-file", path("dense/model.qn")},
                                  {"quantization-config-path", recipe("wiki103_ipq.yaml")}}));
  const auto stages = run.events("stage");
  ASSERT_EQ(stages.size(), 3U);
  for (size_t i = 1; i < stages.size(); ++i)
    EXPECT_LT(stages[i].at("size_mib").get<double>(), stages[i - 1].at("size_mib").get<double>());
  EXPECT_LT(std::filesystem::file_size(path("quantized/model.qn")),
            std::filesystem::file_size(path("dense/model.qn")) / 4);
  const train::LoadedModel loaded = train::load_model(path("quantized/model.qn"));
  train::LmEvaluationOptions options;
  options.tokens_per_sample = 256;
  const auto evaluation =
      train::evaluate_lm(*loaded.model, data::LanguageModelData::open(data()), "valid", options);
  EXPECT_NEAR(evaluation.sum.loss() / run.events("done").at(0).at("valid_loss").get<double>(), 1, 1e-6);
}

}  // namespace
}  // namespace quantnoise::test
