#include "quantnoise/quant/slot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "quantnoise/base/error.h"
#include "toy_layer.h"

namespace quantnoise::quant {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

NoiseOptions drop(double p) {
  NoiseOptions options;
  options.kind = NoiseKind::kPq;
  options.probability = p;
  return options;
}

std::unique_ptr<Representation> random_codes(int64_t rows, int64_t cols, int64_t zero_row = -1) {
  codec::ProductMatrix matrix;
  matrix.rows = rows;
  matrix.cols = cols;
  matrix.block_size = 8;
  matrix.num_centroids = 4;
  matrix.centroids.resize(32, 0.5f);
  matrix.codes.resize(static_cast<size_t>(rows * cols / 8), 2);
  return make_product(matrix, {rows, cols}, codec::CentroidGradient::kSum, zero_row);
}

class SlotTest : public ::testing::Test {
 protected:
  void SetUp() override { set_noise_clock({}); }
};

TEST_F(SlotTest, ValueIsComputedOnceAClockAndVersion) {
  const auto slot = std::make_shared<WeightSlot>(make_dense(torch::randn({16, 16})));
  slot->set_name("fc1");
  slot->set_noise(drop(0.5));
  const at::Tensor first = slot->value(true, at::kFloat);
  EXPECT_TRUE(first.is_same(slot->value(true, at::kFloat)));
  set_noise_clock({1, 0, 1});
  const at::Tensor second = slot->value(true, at::kFloat);
  EXPECT_FALSE(torch::equal(first, second));
  {
    const torch::NoGradGuard no_grad;
    slot->representation().parameter().mul_(2);
  }
  EXPECT_TRUE(torch::equal(slot->value(true, at::kFloat), second * 2));
  EXPECT_TRUE(torch::equal(slot->value(false, at::kFloat), slot->representation().parameter()));
}

// torch's fused optimizers write without counting: the update number of the clock is what tells.
TEST_F(SlotTest, FusedAdamIsSeenByTheClock) {
  const auto slot = std::make_shared<WeightSlot>(make_dense(torch::randn({16, 16})));
  const at::Tensor before = slot->value(false, at::kBFloat16).clone();
  at::Tensor parameter = slot->representation().parameter();
  at::Tensor m = torch::zeros({16, 16}), v = torch::zeros({16, 16}), step = torch::ones({});
  {
    const torch::NoGradGuard no_grad;
    at::_fused_adamw_({parameter}, {torch::ones({16, 16})}, {m}, {v}, {}, {step}, 0.1, 0.9, 0.999, 0.0, 1e-8,
                      false, false);
  }
  set_noise_clock({1, 1, 0});
  EXPECT_FALSE(torch::equal(slot->value(false, at::kBFloat16), before));
}

TEST_F(SlotTest, MemoryNobodyHoldsIsUsedAgain) {
  const auto slot = std::make_shared<WeightSlot>(make_dense(torch::randn({16, 16})));
  slot->set_noise(drop(0.5));
  const void* first = slot->value(true, at::kFloat).data_ptr();
  set_noise_clock({1, 1, 0});
  const at::Tensor held = slot->value(true, at::kFloat);
  EXPECT_EQ(held.data_ptr(), first);
  const at::Tensor copy = held.clone();
  set_noise_clock({1, 2, 0});
  slot->value(true, at::kFloat);
  EXPECT_TRUE(torch::equal(held, copy));
}

TEST_F(SlotTest, NoiseDependsOnSeedNameAndClockAlone) {
  const at::Tensor weight = torch::randn({16, 64});
  const auto value = [&](const NoiseClock& clock, const std::string& name) {
    set_noise_clock(clock);
    WeightSlot slot(make_dense(weight.clone()));
    slot.set_name(name);
    slot.set_noise(drop(0.5));
    return slot.value(true, at::kFloat);
  };
  const at::Tensor reference = value({1, 5, 0}, "a");
  EXPECT_TRUE(torch::equal(reference, value({1, 5, 0}, "a")));
  EXPECT_FALSE(torch::equal(reference, value({2, 5, 0}, "a")));
  EXPECT_FALSE(torch::equal(reference, value({1, 6, 0}, "a")));
  EXPECT_FALSE(torch::equal(reference, value({1, 5, 1}, "a")));
  EXPECT_FALSE(torch::equal(reference, value({1, 5, 0}, "b")));
}

TEST_F(SlotTest, DifferentiableIsStraightThrough) {
  const auto slot = std::make_shared<WeightSlot>(make_dense(torch::randn({16, 16}), 3));
  slot->set_noise(drop(0.5));
  const at::Tensor value = slot->differentiable(true);
  EXPECT_TRUE(torch::equal(value, slot->value(true, at::kFloat)));
  EXPECT_FALSE(slot->value(true, at::kFloat).requires_grad());
  const at::Tensor grad = torch::randn({16, 16});
  value.backward(grad);
  at::Tensor expected = grad.clone();
  expected[3].zero_();
  EXPECT_TRUE(torch::equal(slot->representation().parameter().grad(), expected));
}

TEST_F(SlotTest, DifferentiableReachesTheCentroids) {
  const auto slot = std::make_shared<WeightSlot>(random_codes(16, 16));
  slot->differentiable(true).sum().backward();
  at::Tensor expected = torch::zeros({4, 8});
  expected[2].fill_(32);
  EXPECT_TRUE(torch::equal(slot->representation().parameter().grad(), expected));
}

TEST_F(SlotTest, NoiseIsCheckedAndNamesTheLayer) {
  WeightSlot slot(make_dense(torch::randn({4, 12})));
  slot.set_name("decoder.fc1");
  try {
    slot.set_noise(drop(0.1));
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("decoder.fc1"), HasSubstr("8"), HasSubstr("12")));
  }
  NoiseOptions options = drop(1.0);
  options.block_size = 4;
  EXPECT_THROW(slot.set_noise(options), Error);
  options.kind = NoiseKind::kPqExact;
  EXPECT_NO_THROW(slot.set_noise(options));
  options.probability = 1.5;
  EXPECT_THROW(slot.set_noise(options), Error);
}

TEST_F(SlotTest, ExchangeRewritesEveryOwner) {
  ToyModel model;
  const at::Tensor old = model->embed->slot()->representation().parameter();
  model->embed->slot()->exchange(random_codes(30, 16, 1));
  const at::Tensor centroids = model->embed->slot()->representation().parameter();
  for (const ToyLayer& layer : {model->embed, model->output}) {
    const auto parameters = layer->named_parameters();
    EXPECT_THAT(parameters.keys(), ElementsAre("centroids", "bias"));
    EXPECT_TRUE(parameters["centroids"].is_same(centroids));
  }
  for (const NamedParameter& parameter : unique_parameters(*model))
    EXPECT_FALSE(parameter.tensor.is_same(old));
  EXPECT_EQ(unique_parameters(*model).front().name, "decoder.embed_tokens.centroids");
  EXPECT_TRUE(model->output->slot()->value(true, at::kFloat)[1].eq(0).all().item<bool>());
}

TEST_F(SlotTest, ExchangeOfAnotherShapeChangesNothing) {
  ToyModel model;
  const at::Tensor old = model->embed->slot()->representation().parameter();
  EXPECT_THROW(model->embed->slot()->exchange(random_codes(31, 16)), Error);
  EXPECT_TRUE(model->embed->named_parameters()["weight"].is_same(old));
  EXPECT_TRUE(model->embed->slot()->representation().parameter().is_same(old));
}

TEST_F(SlotTest, FrozenStaysFrozen) {
  ToyModel model;
  model->embed->slot()->representation().parameter().set_requires_grad(false);
  model->embed->slot()->exchange(random_codes(30, 16, 1));
  EXPECT_FALSE(model->embed->slot()->representation().parameter().requires_grad());
}

TEST_F(SlotTest, WalksListTiesOnce) {
  ToyModel model;
  const std::vector<NamedSlot> slots = named_slots(*model);
  ASSERT_EQ(slots.size(), 5u);
  EXPECT_EQ(slots[0].name, "decoder.embed_tokens");
  EXPECT_THAT(slots[0].aliases, ElementsAre("decoder.output_projection"));
  EXPECT_EQ(slots[0].slot->name(), "decoder.embed_tokens");
  EXPECT_EQ(slots[1].name, "decoder.layers.0.fc1");
  EXPECT_EQ(unique_parameters(*model).size(), 5u + 6u);
  const int64_t dense = 30 * 16 + 30 + 4 * 32 * 16 + 2 * (32 + 16) + 30;
  EXPECT_EQ(count_parameters(*model), dense);
  slots[0].slot->exchange(random_codes(30, 16, 1));
  EXPECT_EQ(count_parameters(*model), dense);
}

TEST_F(SlotTest, QuantNoiseNamesWhatItNoises) {
  ToyModel model;
  named_slots(*model);
  EXPECT_EQ(quant_noise(*model, 0.1, 8).size(), 5u);
  EXPECT_TRUE(model->fc[0]->slot()->noise().active());
  EXPECT_TRUE(quant_noise(*model, 0.0, 8).empty());
  // All or none: 32 divides the columns of fc2 only.
  EXPECT_THROW(quant_noise(*model, 0.1, 32), Error);
  for (const ToyLayer& layer : model->fc) EXPECT_FALSE(layer->slot()->noise().active());
}

}  // namespace
}  // namespace quantnoise::quant
