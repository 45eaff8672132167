#include "quantnoise/quant/representation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "quantnoise/base/error.h"
#include "quantnoise/quant/context.h"

namespace quantnoise::quant {
namespace {

NoiseOptions noise(NoiseKind kind, double probability, int block_size = 8) {
  NoiseOptions options;
  options.kind = kind;
  options.probability = probability;
  options.block_size = block_size;
  options.num_centroids = 16;
  return options;
}

WeightUse training_use(const NoiseOptions& options, at::ScalarType type = at::kFloat, uint64_t update = 0) {
  WeightUse use;
  use.training = true;
  use.noise = options;
  use.type = type;
  use.update = update;
  use.stream = base::RandomStream(7, base::hash_name("layer"), update, 0);
  return use;
}

codec::ProductMatrix random_product(int64_t rows, int64_t cols, int block_size, int num_centroids) {
  codec::ProductMatrix matrix;
  matrix.rows = rows;
  matrix.cols = cols;
  matrix.block_size = block_size;
  matrix.num_centroids = num_centroids;
  const at::Tensor centroids = torch::randn({num_centroids, block_size});
  matrix.centroids.assign(centroids.data_ptr<float>(), centroids.data_ptr<float>() + centroids.numel());
  base::SequentialRandom random(3);
  for (int64_t i = 0; i < rows * cols / block_size; ++i) {
    matrix.codes.push_back(static_cast<uint16_t>(random.below(static_cast<uint64_t>(num_centroids))));
  }
  return matrix;
}

at::Tensor codes_tensor(const codec::ProductMatrix& matrix) {
  return torch::tensor(std::vector<int64_t>(matrix.codes.begin(), matrix.codes.end()));
}

TEST(NoiseKindName, RoundTripsAndRefuses) {
  for (const char* name : {"pq", "pq-exact", "mean", "none"})
    EXPECT_EQ(noise_kind_name(parse_noise_kind(name)), name);
  EXPECT_THROW(parse_noise_kind("pqq"), Error);
}

TEST(Dense, NoiseLeavesTheStoredWeightAlone) {
  for (const NoiseKind kind : {NoiseKind::kPq, NoiseKind::kPqExact, NoiseKind::kMean}) {
    const auto dense = make_dense(torch::randn({24, 32}));
    const at::Tensor before = dense->parameter().detach().clone();
    for (uint64_t update = 0; update < 100; ++update) {
      dense->materialize(training_use(noise(kind, 0.3), update % 2 ? at::kFloat : at::kBFloat16, update));
      dense->materialize_rows(torch::tensor({1, 2, 3}), training_use(noise(kind, 0.3), at::kFloat, update));
    }
    EXPECT_TRUE(torch::equal(before, dense->parameter())) << noise_kind_name(kind);
  }
}

TEST(Dense, ZeroProbabilityIsTheIdentity) {
  const auto dense = make_dense(torch::randn({8, 16}));
  const at::Tensor value = dense->materialize(training_use(noise(NoiseKind::kPq, 0)));
  EXPECT_TRUE(torch::equal(value, dense->parameter()));
  EXPECT_FALSE(value.requires_grad());
}

TEST(Dense, PlainCastNeedsNoBlocks) {
  const auto dense = make_dense(torch::randn({5, 7}));
  const at::Tensor value = dense->materialize(training_use({}, at::kBFloat16));
  EXPECT_TRUE(torch::equal(value, dense->parameter().detach().to(at::kBFloat16)));
}

TEST(Dense, DropsWholeBlocksAndScalesTheRest) {
  const auto dense = make_dense(torch::randn({64, 64}));
  const at::Tensor value = dense->materialize(training_use(noise(NoiseKind::kPq, 0.25)));
  const at::Tensor blocks = value.view({-1, 8});
  const at::Tensor dropped = (blocks == 0).all(1);
  const at::Tensor original = dense->parameter().detach().view({-1, 8});
  EXPECT_TRUE(torch::allclose(blocks.index({~dropped}), original.index({~dropped}) / 0.75));
  EXPECT_TRUE(torch::equal((blocks == 0).any(1), dropped));
  EXPECT_NEAR(dropped.to(at::kFloat).mean().item<float>(), 0.25, 0.06);
}

TEST(Dense, MeanKeepsEveryBlockMean) {
  const auto dense = make_dense(torch::randn({16, 32}));
  const at::Tensor value = dense->materialize(training_use(noise(NoiseKind::kMean, 0.5))).view({-1, 8});
  const at::Tensor original = dense->parameter().detach().view({-1, 8});
  EXPECT_TRUE(torch::allclose(value.mean(1), original.mean(1), 1e-5, 1e-6));
  EXPECT_FALSE(torch::equal(value, original));
}

TEST(Dense, ExactNoiseAtOneIsTheDecodedWeight) {
  const auto dense = make_dense(torch::randn({32, 32}));
  const WeightUse use = training_use(noise(NoiseKind::kPqExact, 1.0));
  const at::Tensor value = dense->materialize(use).view({-1, 8});
  const at::Tensor centroids = dense->training_state().at("noise_centroids");
  const at::Tensor weight = dense->parameter().detach().view({-1, 8});
  const at::Tensor nearest = torch::cdist(weight, centroids).argmin(1);
  EXPECT_TRUE(torch::equal(value, centroids.index_select(0, nearest)));
}

TEST(Dense, ExactNoiseFollowsTheWeightBetweenRefreshes) {
  const auto dense = make_dense(torch::randn({32, 32}));
  dense->materialize(training_use(noise(NoiseKind::kPqExact, 1.0)));
  const at::Tensor codebook = dense->training_state().at("noise_centroids").clone();
  {
    const torch::NoGradGuard no_grad;
    dense->parameter().neg_();
  }
  const at::Tensor value = dense->materialize(training_use(noise(NoiseKind::kPqExact, 1.0), at::kFloat, 1));
  const at::Tensor nearest = torch::cdist(dense->parameter().detach().view({-1, 8}), codebook).argmin(1);
  EXPECT_TRUE(torch::equal(value.view({-1, 8}), codebook.index_select(0, nearest)));
  dense->materialize(training_use(noise(NoiseKind::kPqExact, 1.0), at::kFloat, 1000));
  EXPECT_FALSE(torch::equal(codebook, dense->training_state().at("noise_centroids")));
}

TEST(Dense, ExactNoiseResumes) {
  const at::Tensor weight = torch::randn({32, 32});
  const auto first = make_dense(weight.clone());
  first->materialize(training_use(noise(NoiseKind::kPqExact, 0.5), at::kFloat, 999));
  {
    const torch::NoGradGuard no_grad;
    first->parameter().add_(0.1);
  }
  const auto second = make_dense(first->parameter().detach().clone());
  second->load_training_state(first->training_state());
  const WeightUse use = training_use(noise(NoiseKind::kPqExact, 0.5), at::kFloat, 999);
  EXPECT_TRUE(torch::equal(first->materialize(use), second->materialize(use)));
  EXPECT_THROW(second->load_training_state({{"noise_centroids", torch::zeros({2, 8})}}), Error);
}

TEST(Dense, Bf16IsTheRoundedFp32Value) {
  for (const NoiseKind kind : {NoiseKind::kPq, NoiseKind::kPqExact, NoiseKind::kMean}) {
    const auto dense = make_dense(torch::randn({16, 32}));
    const at::Tensor fp32 = dense->materialize(training_use(noise(kind, 0.3)));
    const at::Tensor bf16 = dense->materialize(training_use(noise(kind, 0.3), at::kBFloat16));
    EXPECT_TRUE(torch::equal(bf16, fp32.to(at::kBFloat16))) << noise_kind_name(kind);
  }
}

TEST(Dense, MaskIsTheSameForOneAndTwoThreads) {
  const int former = at::get_num_threads();
  const auto dense = make_dense(torch::randn({512, 512}));
  at::set_num_threads(1);
  const at::Tensor one = dense->materialize(training_use(noise(NoiseKind::kPq, 0.3)));
  at::set_num_threads(2);
  const at::Tensor two = dense->materialize(training_use(noise(NoiseKind::kPq, 0.3)));
  at::set_num_threads(former);
  EXPECT_TRUE(torch::equal(one, two));
}

TEST(Dense, RowsCarryTheNoiseOfTheTable) {
  const at::Tensor indices = torch::tensor({{3, 1, 39}, {3, 0, 7}});
  for (const NoiseKind kind : {NoiseKind::kNone, NoiseKind::kPq, NoiseKind::kPqExact, NoiseKind::kMean}) {
    const auto dense = make_dense(torch::randn({40, 16}), 1);
    const WeightUse use = training_use(noise(kind, 0.4));
    const at::Tensor rows = dense->materialize_rows(indices, use);
    EXPECT_EQ(rows.sizes(), (at::IntArrayRef{2, 3, 16}));
    EXPECT_TRUE(torch::equal(rows, dense->materialize(use).index({indices}))) << noise_kind_name(kind);
    EXPECT_TRUE(rows[0][1].eq(0).all().item<bool>());
  }
}

TEST(Dense, RefusesRowsOutsideTheTable) {
  const auto dense = make_dense(torch::randn({4, 8}));
  EXPECT_THROW(dense->materialize_rows(torch::tensor({4}), {}), Error);
  EXPECT_THROW(dense->materialize_rows(torch::tensor({-1}), {}), Error);
}

TEST(Dense, RowGradientsAddUpAndSkipThePadding) {
  const auto dense = make_dense(torch::randn({40, 16}), 1);
  const at::Tensor indices = torch::tensor({3, 1, 39, 3, 0});
  const at::Tensor grad = torch::randn({5, 16});
  at::Tensor expected = torch::zeros({40, 16});
  expected.index_add_(0, indices, grad);
  expected[1].zero_();
  EXPECT_TRUE(torch::allclose(dense->parameter_gradient_rows(grad, indices, 1), expected));
  EXPECT_TRUE(torch::allclose(dense->parameter_gradient_rows(grad.to(at::kBFloat16), indices, 1), expected,
                              1e-2, 2e-2));
}

TEST(Dense, PacksAndComesBack) {
  const auto dense = make_dense(torch::randn({6, 8}), 2);
  const auto back = from_packed(dense->pack(), codec::CentroidGradient::kSum);
  EXPECT_TRUE(torch::equal(back->parameter(), dense->parameter()));
  EXPECT_EQ(back->zero_row(), 2);
}

TEST(Product, DecodesAndRoundsInEvaluation) {
  const codec::ProductMatrix matrix = random_product(20, 32, 8, 10);
  const auto product = make_product(matrix, {20, 32}, codec::CentroidGradient::kSum, 1);
  at::Tensor expected =
      product->parameter().detach().index_select(0, codes_tensor(matrix)).view({20, 32}).clone();
  expected[1].zero_();
  WeightUse use;
  use.training = true;
  EXPECT_TRUE(torch::equal(product->materialize(use), expected));
  use.type = at::kBFloat16;
  EXPECT_TRUE(torch::equal(product->materialize(use), expected.to(at::kBFloat16)));
  EXPECT_TRUE(torch::equal(product->materialize({}), expected.to(at::kHalf).to(at::kFloat)));
  const at::Tensor indices = torch::tensor({0, 1, 19, 1});
  EXPECT_TRUE(torch::equal(product->materialize_rows(indices, {}),
                           product->materialize({}).index_select(0, indices)));
}

TEST(Product, EvaluatesWhatTheFileHolds) {
  const auto product =
      make_product(random_product(20, 32, 8, 10), {20, 32}, codec::CentroidGradient::kSum, 1);
  const codec::PackedWeight packed = product->pack();
  const std::vector<float> values = codec::unpack_to_float(packed);
  EXPECT_TRUE(torch::equal(product->materialize({}), torch::tensor(values).view({20, 32})));
  const auto back = from_packed(packed, codec::CentroidGradient::kSum);
  back->load_training_state(product->training_state());
  EXPECT_TRUE(torch::equal(back->parameter(), product->parameter()));
  EXPECT_THROW(back->load_training_state({}), Error);
}

TEST(Product, CentroidGradientsAreAutogradsOfTheGather) {
  const codec::ProductMatrix matrix = random_product(20, 32, 8, 10);
  const at::Tensor codes = codes_tensor(matrix);
  const at::Tensor grad = torch::randn({20, 32});
  const at::Tensor centroids = torch::randn({10, 8}).requires_grad_();
  at::Tensor masked = grad.clone();
  masked[1].zero_();
  centroids.index_select(0, codes).view({20, 32}).backward(masked);

  const auto sum = make_product(matrix, {20, 32}, codec::CentroidGradient::kSum, 1);
  EXPECT_TRUE(torch::allclose(sum->parameter_gradient(grad.clone()), centroids.grad(), 1e-5, 1e-5));
  const auto mean = make_product(matrix, {20, 32}, codec::CentroidGradient::kMean, 1);
  at::Tensor counts = torch::zeros({10});
  counts.index_add_(0, codes, torch::ones({codes.numel()}));
  counts.index_add_(0, codes.view({20, 4})[1], -torch::ones({4}));
  EXPECT_TRUE(torch::allclose(mean->parameter_gradient(grad.clone()),
                              centroids.grad() / counts.clamp_min(1).view({-1, 1}), 1e-5, 1e-5));
}

TEST(Product, RowGradientsAreThoseOfTheScatteredMatrix) {
  const codec::ProductMatrix matrix = random_product(20, 32, 8, 10);
  const at::Tensor indices = torch::tensor({4, 1, 4, 0});
  const at::Tensor grad_rows = torch::randn({4, 32});
  at::Tensor grad = torch::zeros({20, 32});
  grad.index_add_(0, indices, grad_rows);
  for (const auto mode : {codec::CentroidGradient::kSum, codec::CentroidGradient::kMean}) {
    const auto product = make_product(matrix, {20, 32}, mode, 1);
    EXPECT_TRUE(torch::allclose(product->parameter_gradient_rows(grad_rows, indices, 1),
                                product->parameter_gradient(grad.clone()), 1e-5, 1e-5));
  }
}

TEST(Int8Centroids, EvaluateAndPackOneSet) {
  const auto product = make_product(random_product(20, 32, 8, 10), {20, 32}, codec::CentroidGradient::kSum, 1,
                                    codec::ScalarType::kI8);
  const codec::PackedWeight packed = product->pack();
  EXPECT_EQ(packed.centroid_type, codec::ScalarType::kI8);
  EXPECT_EQ(packed.stored_bytes(), product->stored_bytes());
  EXPECT_EQ(packed.stored_bytes(), 80 * 4 / 8 + 10 * 8 + 4);
  const std::vector<float> values = codec::unpack_to_float(packed);
  EXPECT_TRUE(torch::equal(product->materialize({}), torch::tensor(values).view({20, 32})));
  const auto back = from_packed(packed, codec::CentroidGradient::kSum);
  // A file written from the file is the same file.
  const codec::PackedWeight again = back->pack();
  EXPECT_EQ(again.centroid_scale, packed.centroid_scale);
  EXPECT_TRUE(std::ranges::equal(again.centroids.bytes, packed.centroids.bytes));
  EXPECT_TRUE(torch::equal(back->materialize({}), product->materialize({})));
  back->load_training_state(product->training_state());
  EXPECT_TRUE(torch::equal(back->parameter(), product->parameter()));
  const at::Tensor error = product->materialize({}) - product->materialize(training_use({}));
  EXPECT_GT(error.abs().max().item<float>(), 0);
  EXPECT_LE(error.abs().max().item<float>(), packed.centroid_scale * 0.5001F);
}

TEST(Int8Centroids, TakeNoiseOnTheirElements) {
  const auto product = make_product(random_product(64, 32, 8, 200), {64, 32}, codec::CentroidGradient::kSum,
                                    -1, codec::ScalarType::kI8);
  EXPECT_TRUE(product->takes_scalar_noise());
  NoiseOptions options;
  WeightUse use = training_use(options);
  const at::Tensor plain = product->materialize(use);
  const at::Tensor rounded = product->materialize({});
  use.noise.scalar_probability = 1;
  EXPECT_TRUE(torch::equal(product->materialize(use), rounded));
  use.noise.scalar_probability = 0.5;
  const at::Tensor value = product->materialize(use);
  EXPECT_TRUE((value.eq(plain) | value.eq(rounded)).all().item<bool>());
  EXPECT_NEAR(value.ne(plain).to(at::kFloat).mean().item<float>(), 0.5, 0.05);
  const at::Tensor indices = torch::tensor({3, 60, 3});
  EXPECT_TRUE(torch::equal(product->materialize_rows(indices, use), value.index_select(0, indices)));
  const auto half = make_product(random_product(64, 32, 8, 200), {64, 32}, codec::CentroidGradient::kSum);
  EXPECT_FALSE(half->takes_scalar_noise());
}

TEST(Int8Centroids, ZerosAndInfinities) {
  codec::ProductMatrix matrix = random_product(8, 16, 8, 2);
  std::fill(matrix.centroids.begin(), matrix.centroids.end(), 0.0F);
  const auto zeros = make_product(matrix, {8, 16}, codec::CentroidGradient::kSum, -1, codec::ScalarType::kI8);
  EXPECT_TRUE(zeros->materialize({}).eq(0).all().item<bool>());
  EXPECT_EQ(zeros->pack().centroid_scale, 1);
  {
    const torch::NoGradGuard no_grad;
    zeros->parameter()[1][3] = std::numeric_limits<float>::infinity();
  }
  EXPECT_THROW(zeros->pack(), Error);
  EXPECT_THROW(zeros->materialize({}), Error);
}

}  // namespace
}  // namespace quantnoise::quant
