#include "quantnoise/nn/loss.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "quantnoise/base/error.h"
#include "quantnoise/nn/linear.h"
#include "quantnoise/quant/context.h"

namespace quantnoise::nn {
namespace {

constexpr int64_t kPad = 1;

struct LossCase {
  int64_t vocabulary, chunk_rows;
  at::ScalarType type;
};

class LossTest : public ::testing::TestWithParam<LossCase> {
 protected:
  void SetUp() override { torch::manual_seed(2); }
};

TEST_P(LossTest, ChunksEqualTheWhole) {
  const LossCase& c = GetParam();
  const quant::ComputeTypeGuard guard(c.type);
  Linear output(LinearOptions(24, c.vocabulary).bias(false));
  const at::Tensor x = at::randn({5, 7, 24}).requires_grad_();
  at::Tensor targets = at::randint(0, c.vocabulary, {5, 7}, at::kLong);
  targets.narrow(1, 5, 2).fill_(kPad);
  ChunkedLossOptions options;
  options.padding_idx = kPad;
  options.chunk_rows = c.chunk_rows;
  options.training = true;

  const at::Tensor loss = chunked_nll_sum(x, output->slot(), targets, options);
  (0.5 * loss).backward();
  const at::Tensor plain_x = x.detach().clone().requires_grad_();
  const at::Tensor plain_weight = output->weight().detach().clone().requires_grad_();
  const at::Tensor logits = at::linear(plain_x, plain_weight).view({35, c.vocabulary});
  const at::Tensor plain = at::cross_entropy_loss(logits, targets.view({35}), {}, at::Reduction::Sum, kPad);
  (0.5 * plain).backward();

  const double tolerance = c.type == at::kFloat ? 1e-5 : 2e-2;
  EXPECT_EQ(loss.scalar_type(), at::kFloat);
  EXPECT_NEAR(loss.item<double>(), plain.item<double>(), tolerance * plain.item<double>());
  EXPECT_LT((x.grad() - plain_x.grad()).abs().max().item<double>(), tolerance);
  EXPECT_LT((output->weight().grad() - plain_weight.grad()).abs().max().item<double>(), 3 * tolerance);
  EXPECT_EQ(output->weight().grad().scalar_type(), at::kFloat);

  const at::Tensor log_probs = chunked_target_log_probs(x, output->slot(), targets, options);
  EXPECT_FALSE(log_probs.requires_grad());
  EXPECT_EQ(log_probs.sizes(), targets.sizes());
  EXPECT_NEAR(-log_probs.sum().item<double>(), loss.item<double>(), 1e-5 * loss.item<double>());
  EXPECT_EQ(log_probs.narrow(1, 5, 2).abs().max().item<double>(), 0);
  const at::NoGradGuard no_grad;
  EXPECT_NEAR(chunked_nll_sum(x, output->slot(), targets, options).item<double>(), loss.item<double>(), 1e-3);
}

INSTANTIATE_TEST_SUITE_P(Chunks, LossTest,
                         ::testing::Values(LossCase{50, 0, at::kFloat}, LossCase{50, 1, at::kFloat},
                                           LossCase{1003, 16, at::kFloat}, LossCase{1003, 8, at::kBFloat16},
                                           LossCase{1003, 0, at::kBFloat16}));

/// bf16 and all rows in one chunk: a dense slot, one with a row of zeros and one with product codes share a
/// matrix.
TEST(Loss, SlotsOfAllKindsGetTheirPartOfABf16Gradient) {
  torch::manual_seed(4);
  const quant::ComputeTypeGuard guard(at::kBFloat16);
  Linear dense(LinearOptions(16, 10).bias(false)), coded(LinearOptions(16, 30).bias(false));
  Embedding table(EmbeddingOptions(20, 16).padding_idx(1));
  codec::ProductMatrix codes{30, 16, 8, 2, std::vector<float>(16), std::vector<uint16_t>(60)};
  for (size_t i = 0; i < codes.centroids.size(); ++i)
    codes.centroids[i] = 0.1f * static_cast<float>(i) - 0.7f;
  for (size_t i = 0; i < codes.codes.size(); ++i) codes.codes[i] = i % 3 == 0 ? 1 : 0;
  coded->slot()->exchange(quant::make_product(codes, {30, 16}, codec::CentroidGradient::kSum));
  const at::Tensor x = at::randn({12, 16}).to(at::kBFloat16).requires_grad_();
  const at::Tensor targets = at::randint(2, 60, {12}, at::kLong);
  const OutputSlots slots = {dense->slot(), table->slot(), coded->slot()};
  chunked_nll_sum(x, slots, targets, {}).backward();

  std::vector<at::Tensor> values;
  for (const auto& slot : slots) values.push_back(slot->value(false, at::kFloat));
  const at::Tensor weight = at::cat(values).detach().requires_grad_();
  at::cross_entropy_loss(at::linear(x.detach().to(at::kFloat), weight), targets, {}, at::Reduction::Sum)
      .backward();
  const at::Tensor expected = weight.grad();
  const auto difference = [](const at::Tensor& a, const at::Tensor& b) {
    return (a - b).abs().max().item<double>();
  };
  EXPECT_LT(difference(dense->weight().grad(), expected.narrow(0, 0, 10)), 0.05);
  const at::Tensor of_table = table->weight().grad();
  EXPECT_LT(difference(of_table.narrow(0, 2, 18), expected.narrow(0, 12, 18)), 0.05);
  EXPECT_EQ(of_table[1].abs().max().item<double>(), 0);
  const at::Tensor of_codes =
      coded->slot()->representation().parameter_gradient(expected.narrow(0, 30, 30).clone());
  EXPECT_LT(difference(coded->slot()->representation().parameter().grad(), of_codes), 0.05);
}

TEST(Loss, NotANumberStaysVisible) {
  Linear output(LinearOptions(4, 6).bias(false));
  at::Tensor x = at::ones({2, 4});
  x[1][2] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(chunked_nll_sum(x, output->slot(), torch::tensor({2, 3}), {}).item<double>()));
}

TEST(Loss, RefusesTargetsOutsideTheVocabulary) {
  Linear output(LinearOptions(4, 6).bias(false));
  EXPECT_THROW(chunked_nll_sum(at::ones({1, 4}), output->slot(), torch::tensor({6}), {}), Error);
  EXPECT_THROW(chunked_nll_sum(at::ones({2, 4}), output->slot(), torch::tensor({1}), {}), Error);
}

TEST(Loss, GradientGoesStraightThroughNoise) {
  torch::manual_seed(2);
  Linear output(LinearOptions(8, 16).bias(false));
  const at::Tensor x = at::randn({6, 8}).requires_grad_();
  const at::Tensor targets = at::randint(0, 16, {6}, at::kLong);
  quant::NoiseOptions noise;
  noise.kind = quant::NoiseKind::kPq;
  noise.probability = 0.5;
  output->slot()->set_noise(noise);
  ChunkedLossOptions options;
  options.training = true;
  chunked_nll_sum(x, output->slot(), targets, options).backward();
  // Straight through: dropped blocks get their gradient too, with the noised value in the product.
  const at::Tensor value = output->slot()->value(true, at::kFloat).detach().clone().requires_grad_();
  at::cross_entropy_loss(at::linear(x.detach(), value), targets, {}, at::Reduction::Sum).backward();
  EXPECT_LT((output->weight().grad() - value.grad()).abs().max().item<double>(), 1e-5);
}

}  // namespace
}  // namespace quantnoise::nn
