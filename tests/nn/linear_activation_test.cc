// Linear with its activation in one operator, and the gradient of its bias.

#include <gtest/gtest.h>

#include "quantnoise/base/error.h"
#include "quantnoise/nn/linear.h"
#include "quantnoise/quant/context.h"

namespace quantnoise::nn {
namespace {

class LinearActivation : public ::testing::Test {
 protected:
  void SetUp() override {
    torch::manual_seed(1);
    quant::set_noise_clock({});
  }
};

// What one pass of activated() leaves behind.
std::vector<at::Tensor> after_a_pass(Linear& linear, const at::Tensor& x, Activation activation) {
  const at::Tensor input = x.detach().clone().requires_grad_();
  const at::Tensor out = linear->activated(input, activation, 0.0, {});
  out.square().sum().backward();
  std::vector<at::Tensor> results = {out.detach(), input.grad(), linear->weight().grad().clone(),
                                     linear->bias().grad().clone()};
  linear->zero_grad();
  return results;
}

TEST_F(LinearActivation, IsOneAfterTheOther) {
  Linear linear(40, 50);
  const at::Tensor x = torch::randn({3, 70, 40});
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const quant::ComputeTypeGuard guard(type);
    for (const Activation activation : {Activation::kRelu, Activation::kTanh}) {
      const std::vector<at::Tensor> together = after_a_pass(linear, x, activation);
      const at::Tensor input = x.detach().clone().requires_grad_();
      const at::Tensor out = activate(linear(input), activation);
      out.square().sum().backward();
      EXPECT_TRUE(at::equal(together[0], out));
      EXPECT_TRUE(at::equal(together[1], input.grad()));
      EXPECT_TRUE(at::equal(together[2], linear->weight().grad()));
      EXPECT_TRUE(at::allclose(together[3], linear->bias().grad(), 1e-5, 1e-4));
      linear->zero_grad();
    }
  }
}

TEST_F(LinearActivation, NeedsNoBiasAndNoRows) {
  Linear linear(LinearOptions(8, 12).bias(false));
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const quant::ComputeTypeGuard guard(type);
    const at::Tensor x = torch::randn({5, 8}).requires_grad_();
    linear->activated(x, Activation::kRelu, 0.0, {}).sum().backward();
    const at::Tensor gradient = linear->weight().grad().clone();
    linear->zero_grad();
    at::relu(linear(x.detach())).sum().backward();
    EXPECT_TRUE(at::equal(gradient, linear->weight().grad()));
    linear->zero_grad();
    Linear biased(8, 12);
    const at::Tensor nothing = torch::zeros({0, 8}).requires_grad_();
    biased->activated(nothing, Activation::kRelu, 0.0, {}).sum().backward();
    EXPECT_EQ(biased->bias().grad().abs().max().item<float>(), 0);
    EXPECT_EQ(nothing.grad().sizes(), nothing.sizes());
  }
}

TEST_F(LinearActivation, WithDropoutIsOneAfterTheOther) {
  Linear linear(8, 12);
  const at::Tensor x = torch::randn({5, 8});
  const base::RandomStream stream(1, base::hash_name("fc1"), 2, 0);
  EXPECT_TRUE(at::equal(linear->activated(x, Activation::kRelu, 0.5, stream),
                        activate_dropout(linear(x), Activation::kRelu, 0.5, stream)));
  EXPECT_THROW(linear->activated(x, Activation::kRelu, -0.5, stream), Error);
}

TEST_F(LinearActivation, BiasGradientIsTheSumOverRowsForAnyNumberOfThreads) {
  const int threads = at::get_num_threads();
  Linear linear(16, 150);
  const at::Tensor x = torch::randn({1000, 16});
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const quant::ComputeTypeGuard guard(type);
    const at::Tensor gradient = torch::randn({1000, 150}).to(type);
    std::vector<at::Tensor> results, sums;
    for (const int count : {1, 2, 3}) {
      at::set_num_threads(count);
      results.push_back(linear(x));
      results.back().backward(gradient);
      sums.push_back(linear->bias().grad().clone());
      linear->zero_grad();
    }
    EXPECT_TRUE(at::allclose(sums[0], gradient.to(at::kDouble).sum(0).to(at::kFloat), 1e-5, 1e-4));
    EXPECT_TRUE(at::equal(sums[0], sums[1]) && at::equal(sums[0], sums[2]));
    EXPECT_TRUE(at::equal(results[0], results[1]) && at::equal(results[0], results[2]));
  }
  at::set_num_threads(threads);
}

}  // namespace
}  // namespace quantnoise::nn
