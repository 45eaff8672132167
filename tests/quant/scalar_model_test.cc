#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "quantnoise/base/error.h"
#include "quantnoise/quant/context.h"
#include "quantnoise/quant/pq.h"
#include "quantnoise/quant/scalar.h"
#include "toy_layer.h"

namespace quantnoise::quant {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

ScalarOptions int_n(int bits, codec::Observer observer = codec::Observer::kTensor) {
  ScalarOptions options;
  options.bits = bits;
  options.observer = observer;
  return options;
}

class ScalarModel : public ::testing::Test {
 protected:
  void SetUp() override { set_noise_clock({}); }
};

TEST_F(ScalarModel, QuantizesInPlaceAndKeepsParametersAndTies) {
  ToyModel model;
  const std::vector<NamedParameter> before = unique_parameters(*model);
  const std::vector<std::string> names = quant::scalar::quantize_model_(*model, 0.5, int_n(8));
  EXPECT_EQ(names.size(), 5U);
  const std::vector<NamedParameter> after = unique_parameters(*model);
  ASSERT_EQ(before.size(), after.size());
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(before[i].name, after[i].name);
    EXPECT_TRUE(before[i].tensor.is_same(after[i].tensor));
  }
  EXPECT_EQ(model->embed->slot(), model->output->slot());
  const at::Tensor value = model->embed->slot()->value(true, at::kFloat);
  EXPECT_TRUE(value.is_same(model->output->slot()->value(true, at::kFloat)));
  const at::Tensor rows = model->embed->slot()->rows(torch::tensor({4, 1}), true);
  EXPECT_TRUE(torch::equal(rows[0], value[4]));
  EXPECT_FALSE(torch::equal(value, model->embed->slot()->representation().parameter()));
  EXPECT_FALSE(torch::equal(value, model->embed->slot()->value(false, at::kFloat)));
}

TEST_F(ScalarModel, PlanListsWhatIsQuantizedAndWhatStays) {
  ToyModel model;
  const LayerFilter filter("--scalar", R"(decoder\..*)", R"(.*\.fc2)");
  const ScalarPlan plan = plan_scalar(*model, int_n(4, codec::Observer::kChannel), filter);
  ASSERT_EQ(plan.layers.size(), 3U);
  EXPECT_EQ(plan.layers[0].name, "decoder.embed_tokens");
  EXPECT_EQ(plan.layers[0].bytes_before, 4 * 30 * 16);
  EXPECT_EQ(plan.layers[0].bytes_after, 30 * 16 / 2 + 30 * 5);
  EXPECT_THAT(plan.text(), AllOf(HasSubstr("decoder.embed_tokens = decoder.output_projection"),
                                 HasSubstr("decoder.layers.*.fc2.weight"), HasSubstr("int4, channel")));
  const std::vector<ScalarLayer> layers = quantize_scalar(*model, plan);
  EXPECT_GT(mean_relative_error(layers), 1e-4);
  EXPECT_LT(mean_relative_error(layers), 0.02);
  EXPECT_EQ(model->fc[0]->slot()->representation().scheme(), "int4");
  EXPECT_EQ(model->fc[1]->slot()->representation().scheme(), "dense");
  EXPECT_THROW(plan_scalar(*model, int_n(4), LayerFilter("--scalar", "nothing", "")), Error);
  EXPECT_THROW(LayerFilter("--scalar", "(", ""), Error);
}

TEST_F(ScalarModel, OtherOptionsTakeANewGridOnlyWhereTheyMust) {
  ToyModel model;
  quantize_scalar(*model, plan_scalar(*model, int_n(8)));
  Representation& weight = model->fc[0]->slot()->representation();
  {
    const torch::NoGradGuard no_grad;
    weight.parameter().mul_(2);
  }
  const std::vector<float> scales = weight.pack().scales;
  quantize_scalar(*model, plan_scalar(*model, int_n(8, codec::Observer::kHistogram)));
  EXPECT_EQ(model->fc[0]->slot()->representation().pack().scales, scales);
  quantize_scalar(*model, plan_scalar(*model, int_n(4)));
  EXPECT_NEAR(model->fc[0]->slot()->representation().pack().scales[0], scales[0] * 2 * 17, scales[0]);
  quantize_scalar(*model, plan_scalar(*model, int_n(4, codec::Observer::kChannel)));
  EXPECT_EQ(model->fc[0]->slot()->representation().pack().scales.size(), 32U);
}

TEST_F(ScalarModel, ErrorsNameTheLayerAndChangeNothing) {
  ToyModel model;
  {
    const torch::NoGradGuard no_grad;
    model->fc[2]->slot()->representation().parameter()[3][2] = std::nanf("");
  }
  try {
    quant::scalar::quantize_model_(*model, 0.5);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kNumeric);
    EXPECT_THAT(error.what(), HasSubstr("decoder.layers.1.fc1"));
  }
  for (const NamedSlot& slot : named_slots(*model))
    EXPECT_EQ(slot.slot->representation().scheme(), "dense") << slot.name;
  EXPECT_THROW(quant::scalar::quantize_model_(*model, 1.5), Error);
}

TEST_F(ScalarModel, ANanThatComesLaterNamesTheLayer) {
  ToyModel model;
  quantize_scalar(*model, plan_scalar(*model, int_n(8)));
  {
    const torch::NoGradGuard no_grad;
    model->fc[1]->slot()->representation().parameter()[3][2] = std::nanf("");
  }
  set_noise_clock({1, 1, 0});
  try {
    model->fc[1]->slot()->value(true, at::kFloat);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("decoder.layers.0.fc2"));
  }
}

TEST_F(ScalarModel, FrozenStaysFrozen) {
  ToyModel model;
  model->embed->slot()->representation().parameter().set_requires_grad(false);
  quant::scalar::quantize_model_(*model, 0.5);
  EXPECT_FALSE(model->embed->slot()->representation().parameter().requires_grad());
}

TEST_F(ScalarModel, ProductCodesFollowAnIntNWeight) {
  ToyModel model;
  quant::scalar::quantize_model_(*model, 0.5, int_n(8));
  config::QuantizationConfig config;
  config.layers_to_quantize = {R"(decoder\..*\.fc1)"};
  config.block_sizes = {{"Linear", {"fuzzy_name", {{"fc1", 8}}}}};
  config.n_centroids = {{"Linear", {"in_features", {{"*", 8}}}}};
  const Plan plan = plan_pq(*model, config, codec::ScalarType::kI8);
  ASSERT_EQ(plan.stages[0].size(), 2U);
  EXPECT_EQ(plan.stages[0][0].bytes_before, 32 * 16 + 5);
  EXPECT_EQ(plan.stages[0][0].bytes_after, 64 * 3 / 8 + 64 + 4);
  EXPECT_THAT(plan.text(), HasSubstr("decoder.layers.*.fc2.weight (int8)"));
  PqOptions options;
  options.centroid_type = codec::ScalarType::kI8;
  quantize_stage(*model, plan.stages[0], options);
  WeightSlot& slot = *model->fc[0]->slot();
  EXPECT_EQ(slot.representation().stored_bytes(), plan.stages[0][0].bytes_after);
  // The noise that was set goes on the centroids now.
  EXPECT_FALSE(torch::equal(slot.value(true, at::kFloat), slot.value(false, at::kFloat)));
  NoiseOptions noise = slot.noise();
  noise.scalar_probability = 1;
  slot.set_noise(noise);
  EXPECT_TRUE(torch::equal(slot.value(true, at::kFloat), slot.value(false, at::kFloat)));
}

}  // namespace
}  // namespace quantnoise::quant
