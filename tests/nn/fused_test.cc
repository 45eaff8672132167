#include "quantnoise/nn/fused.h"

#include <gtest/gtest.h>

#include <cmath>

#include "quantnoise/base/error.h"
#include "quantnoise/nn/activation.h"
#include "quantnoise/nn/dropout.h"
#include "quantnoise/nn/layer_drop.h"
#include "quantnoise/nn/positions.h"
#include "quantnoise/quant/context.h"

namespace quantnoise::nn {
namespace {

base::RandomStream stream_of(uint64_t seed) {
  return base::RandomStream(seed, base::hash_name("dropout"), 5, 2);
}

/// Multiplier of every element, draw by draw.
at::Tensor factors_of(at::IntArrayRef shape, double p, const base::RandomStream& stream) {
  at::Tensor factors = at::empty(shape);
  float* factor = factors.mutable_data_ptr<float>();
  for (int64_t i = 0; i < factors.numel(); ++i) {
    const bool dropped = stream.bits(static_cast<uint64_t>(i)) < base::bernoulli_threshold(p);
    factor[i] = dropped ? 0.0f : static_cast<float>(1.0 / (1.0 - p));
  }
  return factors;
}

double difference(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kFloat) - b.to(at::kFloat)).abs().max().item<double>();
}

class DropoutTest : public ::testing::TestWithParam<std::tuple<int64_t, at::ScalarType>> {};

TEST_P(DropoutTest, MultipliesByTheDrawsForwardAndBackward) {
  const auto [count, type] = GetParam();
  const at::Tensor x = at::randn({count}).to(type).requires_grad_();
  const at::Tensor factors = factors_of({count}, 0.3, stream_of(1));
  const at::Tensor out = dropout(x, 0.3, stream_of(1));
  EXPECT_EQ(out.scalar_type(), type);
  EXPECT_TRUE(at::equal(out, (x.detach().to(at::kFloat) * factors).to(type)));
  const at::Tensor direction = at::randn({count}).to(type);
  out.backward(direction);
  EXPECT_TRUE(at::equal(x.grad(), (direction.to(at::kFloat) * factors).to(type)));
}

TEST_P(DropoutTest, OfReluMultipliesWhatIsPositive) {
  const auto [count, type] = GetParam();
  const at::Tensor x = at::randn({count}).to(type).requires_grad_();
  const at::Tensor factors = factors_of({count}, 0.3, stream_of(1)) * (x.detach() > 0);
  const at::Tensor out = relu_dropout(x, 0.3, stream_of(1));
  EXPECT_TRUE(at::equal(out, (x.detach().to(at::kFloat) * factors).to(type)));
  const at::Tensor direction = at::randn({count}).to(type);
  out.backward(direction);
  EXPECT_TRUE(at::equal(x.grad(), (direction.to(at::kFloat) * factors).to(type)));
}

INSTANTIATE_TEST_SUITE_P(Sizes, DropoutTest,
                         ::testing::Combine(::testing::Values(1, 63, 1000, 70001),
                                            ::testing::Values(at::kFloat, at::kBFloat16)));

TEST(Dropout, NoneAndAll) {
  const at::Tensor x = at::randn({100});
  EXPECT_TRUE(at::equal(dropout(x, 0, stream_of(1)), x));
  EXPECT_TRUE(at::equal(dropout(x, 1, stream_of(1)), at::zeros({100})));
  EXPECT_THROW(dropout(x, 1.1, stream_of(1)), Error);
}

TEST(Dropout, SameForAnyNumberOfThreadsAndUnlikeForOtherClocks) {
  const int threads = at::get_num_threads();
  const at::Tensor x = at::ones({100000});
  at::set_num_threads(1);
  quant::set_noise_clock({1, 10, 0});
  const at::Tensor one = dropout(x, 0.5, activation_stream("a"));
  at::set_num_threads(2);
  EXPECT_TRUE(at::equal(dropout(x, 0.5, activation_stream("a")), one));
  EXPECT_FALSE(at::equal(dropout(x, 0.5, activation_stream("b")), one));
  quant::set_noise_clock({1, 11, 0});
  EXPECT_FALSE(at::equal(dropout(x, 0.5, activation_stream("a")), one));
  quant::set_noise_clock({1, 10, 1});
  EXPECT_FALSE(at::equal(dropout(x, 0.5, activation_stream("a")), one));
  quant::set_noise_clock({});
  at::set_num_threads(threads);
}

/// A stream x + dropout(branch), normalized, and both of its results used.
struct ResidualCase {
  int64_t rows, cols;
  double p;
  at::ScalarType branch_type, out_type;
};

class ResidualTest : public ::testing::TestWithParam<ResidualCase> {
 protected:
  void SetUp() override { torch::manual_seed(3); }
};

TEST_P(ResidualTest, EqualsDropoutAdditionAndNormalizationOneByOne) {
  const ResidualCase& c = GetParam();
  const at::Tensor residual = at::randn({c.rows, c.cols}),
                   branch = at::randn({c.rows, c.cols}).to(c.branch_type);
  const at::Tensor factors = factors_of({c.rows, c.cols}, c.p, stream_of(4));
  const at::Tensor sum_direction = at::randn({c.rows, c.cols});
  const at::Tensor out_direction = at::randn({c.rows, c.cols}).to(c.out_type);
  LayerNorm norm(c.cols);
  {
    const at::NoGradGuard no_grad;
    norm->weight.uniform_(0.5, 1.5);
    norm->bias.uniform_(-1, 1);
  }
  const auto leaf = [](const at::Tensor& t) { return t.detach().clone().requires_grad_(); };
  const at::Tensor x = leaf(residual), y = leaf(branch), gamma = leaf(norm->weight), beta = leaf(norm->bias);
  const at::Tensor sum = x + y.to(at::kFloat) * factors;
  const at::Tensor out = at::layer_norm(sum, {c.cols}, gamma, beta);
  (sum * sum_direction + out * out_direction.to(at::kFloat)).sum().backward();

  const quant::ComputeTypeGuard guard(c.out_type);
  const at::Tensor fused_x = leaf(residual), fused_y = leaf(branch);
  ResidualStream stream(fused_x);
  stream.add(fused_y, c.p, stream_of(4));
  const at::Tensor fused_out = stream.normalized(norm);
  EXPECT_EQ(fused_out.scalar_type(), c.out_type);
  ((stream.sum() * sum_direction).sum() + (fused_out * out_direction).to(at::kFloat).sum()).backward();
  const double tolerance = c.out_type == at::kFloat ? 2e-5 : 0.05;
  EXPECT_LT(difference(stream.sum(), sum), 1e-5);
  EXPECT_LT(difference(fused_out, out), tolerance);
  EXPECT_LT(difference(fused_x.grad(), x.grad()), tolerance);
  EXPECT_LT(difference(fused_y.grad(), y.grad()), c.branch_type == at::kFloat ? tolerance : 0.05);
  const double many = std::sqrt(static_cast<double>(c.rows));
  EXPECT_LT(difference(norm->weight.grad(), gamma.grad()), many * tolerance);
  EXPECT_LT(difference(norm->bias.grad(), beta.grad()), many * tolerance);
}

INSTANTIATE_TEST_SUITE_P(Shapes, ResidualTest,
                         ::testing::Values(ResidualCase{3, 20, 0.2, at::kFloat, at::kFloat},
                                           ResidualCase{100, 64, 0.0, at::kFloat, at::kFloat},
                                           ResidualCase{70, 257, 0.1, at::kBFloat16, at::kFloat},
                                           ResidualCase{70, 256, 0.1, at::kBFloat16, at::kBFloat16}));

TEST(Residual, WithoutABranchAndAsPostNorm) {
  LayerNorm norm(32);
  const at::Tensor x = at::randn({4, 5, 32}), y = at::randn({4, 5, 32});
  EXPECT_LT(difference(norm->forward(x), at::layer_norm(x, {32})), 1e-5);
  ResidualStream stream(x);
  stream.add(y, 0, {});
  stream.normalize(norm);
  EXPECT_LT(difference(stream.sum(), at::layer_norm(x + y, {32})), 1e-5);
  stream.add(y, 0, {});
  stream.add(y, 0, {});
  EXPECT_LT(difference(stream.sum(), at::layer_norm(x + y, {32}) + 2 * y), 1e-5);
}

TEST(Activation, NamesOfFairseq) {
  const at::Tensor x = at::randn({50});
  EXPECT_TRUE(at::equal(activate(x, parse_activation("relu")), at::relu(x)));
  EXPECT_TRUE(at::equal(activate(x, parse_activation("gelu")), at::gelu(x)));
  EXPECT_TRUE(at::equal(activate(x, parse_activation("gelu_fast")), at::gelu(x, "tanh")));
  EXPECT_TRUE(at::equal(activate(x, parse_activation("linear")), x));
  EXPECT_THROW(parse_activation("swish"), Error);
}

TEST(Positions, CountWhatIsNotPadding) {
  const at::Tensor tokens = torch::tensor({{5, 6, 7}, {8, 1, 1}});
  EXPECT_TRUE(at::equal(position_indices(tokens, 1), torch::tensor({{2, 3, 4}, {2, 1, 1}})));
  EXPECT_TRUE(at::equal(position_indices(tokens, 1, 4), torch::tensor({{6, 7, 8}, {6, 1, 1}})));
}

TEST(Positions, SineHalfThenCosineHalf) {
  const at::Tensor table = sinusoidal_table(20, 8, 1);
  EXPECT_TRUE(at::equal(table[1], at::zeros({8})));
  EXPECT_NEAR(table[7][2].item<double>(), std::sin(7 * std::exp(-2 * std::log(10000.0) / 3)), 1e-6);
  EXPECT_NEAR(table[7][6].item<double>(), std::cos(7 * std::exp(-2 * std::log(10000.0) / 3)), 1e-6);
  SinusoidalPositions positions(8, 1);
  EXPECT_TRUE(at::equal(positions.rows(torch::tensor({3, 1})), table.index_select(0, torch::tensor({3, 1}))));
  EXPECT_EQ(positions.rows(torch::tensor({5000})).size(0), 1);
}

TEST(Positions, LearnedRows) {
  const Embedding positions = make_learned_positions(512, 16, 1);
  EXPECT_EQ(positions->weight().size(0), 514);
  EXPECT_EQ(positions->weight()[1].abs().max().item<double>(), 0);
  EXPECT_NEAR(positions->weight().std().item<double>(), 0.25, 0.02);
}

TEST(LayerDrop, DropsAboutTheRateAndNeverInEvaluation) {
  int dropped = 0;
  for (uint64_t update = 0; update < 1000; ++update) {
    quant::set_noise_clock({1, update, 0});
    dropped += layer_is_dropped("layers", 3, 0.2, true);
    EXPECT_FALSE(layer_is_dropped("layers", 3, 0.2, false));
  }
  quant::set_noise_clock({});
  EXPECT_NEAR(dropped, 200, 40);
}

}  // namespace
}  // namespace quantnoise::nn
