#include "quantnoise/quant/pq.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "quantnoise/base/error.h"
#include "toy_layer.h"

namespace quantnoise::quant {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

config::QuantizationConfig toy_config(std::vector<std::string> stages, int block_size = 8) {
  config::QuantizationConfig config;
  config.n_centroids = {{"Linear", {"in_features", {{"*", 16}}}},
                        {"Embedding", {"embedding_dim", {{"*", 16}}}}};
  config.block_sizes = {{"Linear", {"fuzzy_name", {{"fc", block_size}}}},
                        {"Embedding", {"fuzzy_name", {{"emb", 8}}}}};
  config.layers_to_quantize = std::move(stages);
  return config;
}

std::vector<std::string> names(const std::vector<PlanEntry>& stage) {
  std::vector<std::string> result;
  for (const PlanEntry& entry : stage) result.push_back(entry.name);
  return result;
}

Error plan_error(const config::QuantizationConfig& config) {
  ToyModel model;
  try {
    plan_pq(*model, config);
  } catch (const Error& error) {
    return error;
  }
  return Error(ErrorKind::kInternal, "no error");
}

TEST(PlanPq, TakesTheReferencesPatterns) {
  ToyModel model;
  const Plan plan =
      plan_pq(*model, toy_config({R"(decoder\.layers\.\d+\.fc[12])", R"(decoder\.embed_tokens)"}));
  ASSERT_EQ(plan.stages.size(), 2u);
  EXPECT_THAT(names(plan.stages[0]), ElementsAre("decoder.layers.0.fc1", "decoder.layers.0.fc2",
                                                 "decoder.layers.1.fc1", "decoder.layers.1.fc2"));
  const PlanEntry& fc1 = plan.stages[0][0];
  EXPECT_EQ(fc1.bytes_before, 4 * 32 * 16);
  EXPECT_EQ(fc1.bytes_after, 64 * 4 / 8 + 16 * 8 * 2);
  EXPECT_THAT(names(plan.stages[1]), ElementsAre("decoder.embed_tokens"));
  EXPECT_EQ(plan.others.size(), 6u);
}

TEST(PlanPq, MatchesAliasesAndPlansATieOnce) {
  ToyModel model;
  const Plan plan =
      plan_pq(*model, toy_config({R"(decoder\.output_projection)", R"(decoder\.embed_tokens)"}));
  ASSERT_EQ(plan.stages[0].size(), 1u);
  EXPECT_EQ(plan.stages[0][0].name, "decoder.embed_tokens");
  EXPECT_THAT(plan.stages[0][0].aliases, ElementsAre("decoder.output_projection"));
  EXPECT_TRUE(plan.stages[1].empty());
}

TEST(PlanPq, MatchesInFull) {
  EXPECT_EQ(plan_error(toy_config({R"(decoder\.layers\.\d+\.fc)"})).kind(), ErrorKind::kConfig);
}

TEST(PlanPq, DoubledBackslashesAreNamed) {
  const Error error = plan_error(toy_config({R"(decoder\\.layers\\.\\d+\\.fc[12])"}));
  EXPECT_EQ(error.kind(), ErrorKind::kConfig);
  EXPECT_THAT(error.hint(), HasSubstr("backslashes are doubled"));
}

TEST(PlanPq, NearestNamesAreShown) {
  const Error error = plan_error(toy_config({R"(decoder\.embed_token)"}));
  EXPECT_THAT(error.what(), AllOf(HasSubstr("stage 1"), HasSubstr("decoder.embed_tokens")));
}

TEST(PlanPq, BrokenPatternIsAConfigurationError) {
  EXPECT_THAT(plan_error(toy_config({"fc["})).what(), HasSubstr("fc["));
}

TEST(PlanPq, BlockSizeThatDoesNotDivideNamesTheLayer) {
  EXPECT_THAT(plan_error(toy_config({R"(decoder\.layers\.\d+\.fc[12])"}, 6)).what(),
              AllOf(HasSubstr("decoder.layers.0.fc1"), HasSubstr("6"), HasSubstr("16")));
}

TEST(PlanPq, TextIsATable) {
  ToyModel model;
  const std::string text = plan_pq(*model, toy_config({R"(decoder\.layers\.\d+\.fc[12])"})).text();
  EXPECT_THAT(text,
              AllOf(HasSubstr("stage 1: 4 layers"), HasSubstr("decoder.layers.1.fc2"), HasSubstr("32 x 16"),
                    HasSubstr("decoder.layers.*.fc1.bias"), HasSubstr("decoder.embed_tokens.weight")));
}

TEST(PlanPq, CentroidsNeverOutnumberBlocks) {
  ToyModel model;
  auto config = toy_config({R"(decoder\.embed_tokens)"});
  config.n_centroids["Embedding"].values = {{"*", 256}};
  EXPECT_EQ(plan_pq(*model, config).stages[0][0].num_centroids, 60);
}

TEST(QuantizeStage, ExchangesBothEndsAndKeepsThePaddingZero) {
  ToyModel model;
  const Plan plan = plan_pq(*model, toy_config({R"(decoder\.embed_tokens)"}));
  const at::Tensor weight = model->embed->slot()->representation().parameter().detach().clone();
  const std::vector<QuantizedLayer> layers = quantize_stage(*model, plan.stages[0], {});
  ASSERT_EQ(layers.size(), 1u);
  const at::Tensor value = model->output->slot()->value(true, at::kFloat);
  EXPECT_TRUE(value[1].eq(0).all().item<bool>());
  const double error = ((value - weight).square().sum() / weight.square().sum()).item<double>();
  EXPECT_NEAR(layers[0].relative_error, error, 1e-5);
  EXPECT_LT(error, 0.6);
  EXPECT_THAT(model->output->named_parameters().keys(), ElementsAre("centroids", "bias"));
}

TEST(QuantizeStage, SameSeedSameCodes) {
  ToyModel first, second;
  {
    const torch::NoGradGuard no_grad;
    for (size_t i = 0; i < first->fc.size(); ++i) {
      second->fc[i]->slot()->representation().parameter().copy_(
          first->fc[i]->slot()->representation().parameter());
    }
  }
  const auto config = toy_config({R"(decoder\.layers\.\d+\.fc[12])"});
  quantize_stage(*first, plan_pq(*first, config).stages[0], {});
  const int former = at::get_num_threads();
  at::set_num_threads(1);
  quantize_stage(*second, plan_pq(*second, config).stages[0], {});
  at::set_num_threads(former);
  for (size_t i = 0; i < first->fc.size(); ++i) {
    EXPECT_TRUE(torch::equal(first->fc[i]->slot()->value(false, at::kFloat),
                             second->fc[i]->slot()->value(false, at::kFloat)));
  }
}

TEST(QuantizeStage, AnErrorLeavesTheWholeStageDense) {
  ToyModel model;
  const Plan plan = plan_pq(*model, toy_config({R"(decoder\.layers\.\d+\.fc[12])"}));
  {
    const torch::NoGradGuard no_grad;
    model->fc[3]->slot()->representation().parameter()[0][0] = std::numeric_limits<float>::quiet_NaN();
  }
  try {
    quantize_stage(*model, plan.stages[0], {});
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("decoder.layers.1.fc2"));
  }
  for (const ToyLayer& layer : model->fc) EXPECT_EQ(layer->slot()->representation().scheme(), "dense");
}

TEST(QuantizeModel, StepsThroughTheStages) {
  ToyModel model;
  const auto config = toy_config({R"(decoder\.layers\.\d+\.fc[12])", R"(decoder\.embed_tokens)"});
  codec::SizeTracker tracker(count_parameters(*model));
  EXPECT_EQ(pq::quantize_model_(*model, tracker, config, 0).size(), 4u);
  EXPECT_THAT(pq::quantize_model_(*model, tracker, config, 1), ElementsAre("decoder.embed_tokens"));
  EXPECT_TRUE(pq::quantize_model_(*model, tracker, config, 1).empty());
  EXPECT_THROW(pq::quantize_model_(*model, tracker, config, 2), Error);
  EXPECT_GT(tracker.ratio(), 1.0);
}

}  // namespace
}  // namespace quantnoise::quant
