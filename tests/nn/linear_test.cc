#include "quantnoise/nn/linear.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "quantnoise/base/error.h"
#include "quantnoise/nn/functional.h"
#include "quantnoise/quant/pq.h"

namespace quantnoise::nn {
namespace {

using ::testing::ElementsAre;

quant::NoiseOptions drop(double p, bool rescale = true) {
  quant::NoiseOptions options;
  options.kind = quant::NoiseKind::kPq;
  options.probability = p;
  options.rescale = rescale;
  return options;
}

void set_weight(const at::Tensor& weight, const at::Tensor& value) {
  const torch::NoGradGuard no_grad;
  weight.copy_(value);
}

class LinearTest : public ::testing::Test {
 protected:
  void SetUp() override {
    torch::manual_seed(1);
    quant::set_noise_clock({});
  }
};

/// embedding (40 × 16, padding row 1) and an output projection tied to it.
struct TiedImpl : torch::nn::Module {
  TiedImpl() {
    embed = register_module("embed", Embedding(EmbeddingOptions(40, 16).padding_idx(1)));
    fc = register_module("fc", Linear(16, 16));
    output = register_module("output", Linear(LinearOptions(16, 40).bias(false)));
    output->tie_to(*embed);
    quant::named_slots(*this);
  }
  at::Tensor forward(const at::Tensor& tokens) { return output(torch::tanh(fc(embed(tokens)))); }
  Embedding embed{nullptr};
  Linear fc{nullptr}, output{nullptr};
};
TORCH_MODULE(Tied);

TEST_F(LinearTest, IsTorchsLinear) {
  for (const int64_t size : {24, 256}) {  // the larger one takes the other product
    Linear ours(size, 2 * size);
    torch::nn::Linear theirs(size, 2 * size);
    set_weight(theirs->weight, ours->weight());
    set_weight(theirs->bias, ours->bias());
    const at::Tensor x = torch::randn({4, 32, size}).requires_grad_();
    const at::Tensor y = torch::randn({4, 32, 2 * size});
    torch::mse_loss(ours(x), y).backward();
    const at::Tensor input_gradient = x.grad().clone();
    x.mutable_grad().reset();
    torch::mse_loss(theirs(x), y).backward();
    EXPECT_TRUE(torch::allclose(ours(x), theirs(x), 1e-4, 1e-5));
    EXPECT_TRUE(torch::allclose(input_gradient, x.grad(), 1e-4, 1e-6));
    EXPECT_TRUE(torch::allclose(ours->weight().grad(), theirs->weight.grad(), 1e-4, 1e-6));
    EXPECT_TRUE(torch::allclose(ours->bias().grad(), theirs->bias.grad(), 1e-4, 1e-6));
  }
}

TEST_F(LinearTest, InitialisesAsTorch) {
  torch::manual_seed(5);
  Linear ours(24, 8);
  torch::manual_seed(5);
  torch::nn::Linear theirs(24, 8);
  EXPECT_TRUE(torch::equal(ours->weight(), theirs->weight));
  EXPECT_TRUE(torch::equal(ours->bias(), theirs->bias));
}

TEST_F(LinearTest, GradientsAgreeWithFiniteDifferences) {
  Linear linear(8, 4);
  const at::Tensor x = torch::randn({6, 8}), y = torch::randn({6, 4});
  const auto loss = [&] { return torch::mse_loss(linear(x), y); };
  loss().backward();
  const at::Tensor grad = linear->weight().grad();
  constexpr double kStep = 1e-2;  // the loss is quadratic: no error of higher order
  for (int64_t i = 0; i < 32; i += 5) {
    const at::Tensor element = linear->weight().detach().view({-1})[i];
    const auto moved = [&](double step) {
      const torch::NoGradGuard no_grad;
      element.add_(step);
      const double value = loss().item<double>();
      element.add_(-step);
      return value;
    };
    EXPECT_NEAR((moved(kStep) - moved(-kStep)) / (2 * kStep), grad.view({-1})[i].item<double>(), 1e-3);
  }
}

TEST_F(LinearTest, GradientOfTheNoisedWeightReachesEveryElement) {
  Linear linear(LinearOptions(16, 8).bias(false));
  linear->slot()->set_noise(drop(0.5));
  const at::Tensor x = torch::randn({6, 16}), y = torch::randn({6, 8});
  torch::mse_loss(linear(x), y).backward();
  const at::Tensor noised = linear->slot()->value(true, at::kFloat).clone().requires_grad_();
  torch::mse_loss(torch::linear(x, noised), y).backward();
  EXPECT_TRUE(torch::allclose(linear->weight().grad(), noised.grad(), 1e-5, 1e-7));
  EXPECT_GT(noised.eq(0).sum().item<int64_t>(), 0);
  EXPECT_TRUE(linear->weight().grad().ne(0).all().item<bool>());
}

TEST_F(LinearTest, ZeroNoiseIsNoNoise) {
  Linear linear(16, 8);
  const at::Tensor x = torch::randn({6, 16});
  const at::Tensor before = linear(x);
  linear->slot()->set_noise(drop(0));
  EXPECT_TRUE(torch::equal(before, linear(x)));
}

TEST_F(LinearTest, EvaluationHasNoNoise) {
  Linear linear(16, 8);
  const at::Tensor x = torch::randn({6, 16});
  const at::Tensor before = linear(x);
  linear->slot()->set_noise(drop(0.5));
  EXPECT_FALSE(torch::equal(before, linear(x)));
  linear->eval();
  EXPECT_TRUE(torch::equal(before, linear(x)));
}

TEST_F(LinearTest, StoredWeightsSurviveNoisyPasses) {
  Tied model;
  quant::quant_noise(*model, 0.3, 8);
  std::vector<at::Tensor> before;
  for (const auto& parameter : quant::unique_parameters(*model))
    before.push_back(parameter.tensor.detach().clone());
  for (uint64_t update = 0; update < 100; ++update) {
    quant::set_noise_clock({1, update, 0});
    model(torch::randint(0, 40, {2, 8}, at::kLong)).sum().backward();
  }
  const auto after = quant::unique_parameters(*model);
  for (size_t i = 0; i < after.size(); ++i)
    EXPECT_TRUE(torch::equal(before[i], after[i].tensor)) << after[i].name;
}

TEST_F(LinearTest, BothEndsOfATieSeeOneMask) {
  Tied model;
  quant::quant_noise(*model, 0.4, 8);
  const at::Tensor all = torch::arange(40, at::kLong);
  const at::Tensor rows = model->embed(all);
  EXPECT_TRUE(torch::equal(rows, model->output->slot()->value(true, at::kFloat)));
  EXPECT_TRUE(torch::equal(rows, model->output(torch::eye(16)).t()));
}

TEST_F(LinearTest, ATieIsListedOnce) {
  Tied model;
  EXPECT_THAT(model->named_parameters().keys(),
              ElementsAre("embed.weight", "fc.weight", "fc.bias", "output.weight"));
  EXPECT_TRUE(model->named_parameters()["output.weight"].is_same(model->embed->weight()));
  EXPECT_EQ(quant::unique_parameters(*model).size(), 3u);
  EXPECT_EQ(model->embed->slot()->owners().size(), 2u);
}

TEST_F(LinearTest, TieRefusesOtherShapesAndLostPadding) {
  Linear small(16, 8), output(LinearOptions(16, 40).bias(false));
  Embedding embed(EmbeddingOptions(40, 16).padding_idx(1));
  EXPECT_THROW(small->tie_to(*embed), Error);
  EXPECT_THROW(embed->tie_to(*output), Error);
  EXPECT_EQ(small->slot()->owners().size(), 1u);
}

TEST_F(LinearTest, OwnersLeaveTheirSlot) {
  Embedding embed(EmbeddingOptions(40, 16));
  {
    Linear output(LinearOptions(16, 40).bias(false));
    output->tie_to(*embed);
    EXPECT_EQ(embed->slot()->owners().size(), 2u);
  }
  EXPECT_EQ(embed->slot()->owners().size(), 1u);
}

TEST_F(LinearTest, EmbeddingIsTorchsEmbedding) {
  Embedding ours(EmbeddingOptions(40, 16).padding_idx(1));
  const at::Tensor weight = ours->weight().detach().clone().requires_grad_();
  const at::Tensor tokens = torch::tensor({{3, 1, 7}, {3, 3, 39}});
  const at::Tensor factor = torch::randn({2, 3, 16});
  (ours(tokens) * factor).sum().backward();
  (torch::embedding(weight, tokens, 1) * factor).sum().backward();
  EXPECT_TRUE(torch::equal(ours(tokens), torch::embedding(weight, tokens)));
  EXPECT_TRUE(torch::allclose(ours->weight().grad(), weight.grad()));
  EXPECT_TRUE(ours->weight().grad()[1].eq(0).all().item<bool>());
}

TEST_F(LinearTest, PaddingRowStaysZeroThroughStepsAndQuantization) {
  Tied model;
  quant::quant_noise(*model, 0.2, 8);
  const auto train = [&] {
    std::vector<at::Tensor> parameters;
    for (const auto& parameter : quant::unique_parameters(*model)) parameters.push_back(parameter.tensor);
    torch::optim::AdamW optimizer(parameters, torch::optim::AdamWOptions(0.1));
    for (uint64_t update = 0; update < 3; ++update) {
      quant::set_noise_clock({1, update, 0});
      optimizer.zero_grad();
      const at::Tensor tokens = torch::randint(0, 40, {2, 8}, at::kLong);
      torch::cross_entropy_loss(model(tokens).view({-1, 40}), tokens.view({-1})).backward();
      optimizer.step();
    }
    model->eval();
    EXPECT_TRUE(model->embed(torch::tensor({1})).eq(0).all().item<bool>());
    EXPECT_TRUE(model->output->slot()->value(false, at::kFloat)[1].eq(0).all().item<bool>());
    model->train();
  };
  train();
  EXPECT_TRUE(model->embed->weight()[1].eq(0).all().item<bool>());
  quant::PlanEntry entry;
  entry.name = "embed";
  entry.shape = {40, 16};
  entry.block_size = 8;
  entry.num_centroids = 8;
  quant::quantize_stage(*model, {entry}, {});
  EXPECT_THROW(model->embed->weight(), Error);
  train();
}

TEST_F(LinearTest, ExchangeKeepsForwardRegistryAndNamesTogether) {
  Tied model;
  codec::ProductMatrix matrix{40, 16, 8, 2, std::vector<float>(16, 0.25f), std::vector<uint16_t>(80, 1)};
  model->embed->slot()->exchange(quant::make_product(matrix, {40, 16}, codec::CentroidGradient::kSum, 1));
  EXPECT_THAT(model->named_parameters().keys(),
              ElementsAre("embed.centroids", "fc.weight", "fc.bias", "output.centroids"));
  const at::Tensor parameter = model->named_parameters()["output.centroids"];
  set_weight(parameter, torch::full({2, 8}, 0.5));  // as an optimizer would, through the registered tensor
  EXPECT_TRUE(model->embed(torch::tensor({5})).eq(0.5).all().item<bool>());
  EXPECT_TRUE(model->output(torch::ones({1, 16}))[0][5].eq(8).item<bool>());
  model(torch::tensor({{5, 6}})).sum().backward();
  EXPECT_TRUE(parameter.grad().defined());
}

TEST_F(LinearTest, ExchangeBetweenForwardAndBackwardIsSafe) {
  Tied model;
  const at::Tensor weight = model->embed->weight();
  const at::Tensor loss = model(torch::tensor({{5, 6}})).sum();
  codec::ProductMatrix matrix{40, 16, 8, 2, std::vector<float>(16, 0.25f), std::vector<uint16_t>(80, 1)};
  model->embed->slot()->exchange(quant::make_product(matrix, {40, 16}, codec::CentroidGradient::kSum, 1));
  loss.backward();
  EXPECT_TRUE(weight.grad().defined());
  EXPECT_FALSE(model->embed->slot()->representation().parameter().grad().defined());
}

TEST_F(LinearTest, Bf16ComputesOnTheRoundedValueAndGivesFp32Gradients) {
  Linear linear(32, 16);
  linear->slot()->set_noise(drop(0.3));
  const at::Tensor x = torch::randn({6, 32}).requires_grad_();
  const at::Tensor fp32 = linear->slot()->value(true, at::kFloat).clone();
  const quant::ComputeTypeGuard guard(at::kBFloat16);
  EXPECT_TRUE(torch::equal(linear->slot()->value(true, at::kBFloat16), fp32.to(at::kBFloat16)));
  const at::Tensor y = linear(x);
  EXPECT_EQ(y.scalar_type(), at::kBFloat16);
  y.to(at::kFloat).square().mean().backward();
  EXPECT_EQ(linear->weight().grad().scalar_type(), at::kFloat);
  EXPECT_EQ(linear->bias().grad().scalar_type(), at::kFloat);
  EXPECT_EQ(x.grad().scalar_type(), at::kFloat);
}

TEST_F(LinearTest, MicroBatchesAndTiesAddUpInFp32) {
  Tied model;
  const quant::ComputeTypeGuard guard(at::kBFloat16);
  const auto gradient = [&](uint32_t first, uint32_t last) {
    model->zero_grad();
    for (uint32_t micro_batch = first; micro_batch < last; ++micro_batch) {
      torch::manual_seed(micro_batch);
      quant::set_noise_clock({1, 0, micro_batch});
      model(torch::randint(0, 40, {2, 8}, at::kLong)).to(at::kFloat).square().mean().backward();
    }
    return model->embed->weight().grad().clone();
  };
  quant::quant_noise(*model, 0.2, 8);
  at::Tensor sum = torch::zeros({40, 16});
  for (uint32_t i = 0; i < 4; ++i) sum += gradient(i, i + 1);
  const at::Tensor accumulated = gradient(0, 4);
  EXPECT_EQ(accumulated.scalar_type(), at::kFloat);
  EXPECT_TRUE(torch::equal(accumulated, sum));
}

TEST_F(LinearTest, OneLayerUsedTwiceInAPass) {
  Linear linear(16, 16);
  linear->slot()->set_noise(drop(0.3));
  const at::Tensor x = torch::randn({4, 16});
  linear(linear(x)).sum().backward();
  const at::Tensor weight = linear->slot()->value(true, at::kFloat).clone().requires_grad_();
  const at::Tensor bias = linear->bias().detach();
  torch::linear(torch::linear(x, weight, bias), weight, bias).sum().backward();
  EXPECT_TRUE(torch::allclose(linear->weight().grad(), weight.grad(), 1e-5, 1e-5));
}

TEST_F(LinearTest, EvaluationInInferenceModeDoesNotSpoilTraining) {
  Linear linear(16, 8);
  const quant::ComputeTypeGuard guard(at::kBFloat16);
  {
    const c10::InferenceMode inference;
    linear(torch::randn({2, 16}));
  }
  EXPECT_NO_THROW(linear(torch::randn({2, 16})).sum().backward());
}

TEST_F(LinearTest, InputOfAnotherWidthNamesTheLayer) {
  Linear linear(16, 8);
  linear->slot()->set_name("decoder.fc1");
  try {
    linear(torch::randn({2, 15}));
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), ::testing::HasSubstr("decoder.fc1"));
  }
}

// With noise that destroys the stored weight this regression diverges (relative error 1.5 and
// growing).
double regression_error(at::ScalarType type, uint32_t micro_batches) {
  torch::manual_seed(3);
  Linear linear(LinearOptions(64, 8).bias(false));
  linear->slot()->set_name("fc");
  linear->slot()->set_noise(drop(0.05));
  const at::Tensor truth = torch::randn({8, 64});
  const quant::ComputeTypeGuard guard(type);
  torch::optim::SGD optimizer({linear->weight()}, torch::optim::SGDOptions(0.2));
  for (uint64_t update = 0; update < 400; ++update) {
    optimizer.zero_grad();
    for (uint32_t micro_batch = 0; micro_batch < micro_batches; ++micro_batch) {
      quant::set_noise_clock({1, update, micro_batch});
      const at::Tensor x = torch::randn({64, 64});
      const at::Tensor error = linear(x).to(at::kFloat) - torch::linear(x, truth);
      (error.square().mean() / static_cast<double>(micro_batches)).backward();
    }
    optimizer.step();
  }
  return ((linear->weight().detach() - truth).norm() / truth.norm()).item<double>();
}

TEST_F(LinearTest, RegressionWithNoiseConverges) {
  EXPECT_LT(regression_error(at::kFloat, 1), 0.15);
  EXPECT_LT(regression_error(at::kBFloat16, 1), 0.15);
  EXPECT_LT(regression_error(at::kFloat, 3), 0.15);
}

}  // namespace
}  // namespace quantnoise::nn
