#include <gtest/gtest.h>

#include <limits>

#include "quantnoise/base/error.h"
#include "quantnoise/codec/affine.h"
#include "quantnoise/quant/context.h"
#include "quantnoise/quant/representation.h"
#include "seeded.h"

namespace quantnoise::quant {
namespace {

ScalarOptions int_n(int bits, codec::Observer observer = codec::Observer::kTensor) {
  ScalarOptions options;
  options.bits = bits;
  options.observer = observer;
  return options;
}

WeightUse noisy(double p, uint64_t update = 0, at::ScalarType type = at::kFloat) {
  WeightUse use;
  use.training = true;
  use.noise.scalar_probability = p;
  use.type = type;
  use.update = update;
  use.stream = base::RandomStream(7, base::hash_name("layer"), update, 0);
  use.element_stream = base::RandomStream(7, base::hash_name("layer.elements"), update, 0);
  return use;
}

std::vector<float> to_vector(const at::Tensor& tensor) {
  const float* first = tensor.const_data_ptr<float>();
  return {first, first + tensor.numel()};
}

/// Fake quantization by hand, min–max over the tensor or over each row.
at::Tensor fake_quantized(const at::Tensor& weight, int bits, bool by_rows) {
  const float steps = static_cast<float>((1 << bits) - 1);
  const auto ends = [&](const at::Tensor& x, bool high) {
    const at::Tensor end =
        high ? (by_rows ? x.amax({1}, true) : x.max()) : (by_rows ? x.amin({1}, true) : x.min());
    return high ? end.clamp_min(0) : end.clamp_max(0);
  };
  const at::Tensor low = ends(weight, false), high = ends(weight, true);
  const at::Tensor scale = (high - low) / steps;
  const at::Tensor zero_point = (-low / scale).round();
  return ((weight * scale.reciprocal()).round() + zero_point).clamp(0, steps).sub(zero_point) * scale;
}

TEST(Scalar, AllElementsAreFakeQuantizedAtProbabilityOneAndInEvaluation) {
  for (const int bits : {2, 4, 8}) {
    for (const bool by_rows : {false, true}) {
      SCOPED_TRACE(str_cat(bits, " bits, rows ", by_rows));
      const auto observer = by_rows ? codec::Observer::kChannel : codec::Observer::kTensor;
      const auto weight = make_scalar(torch::randn({24, 40}), int_n(bits, observer));
      const at::Tensor expected = fake_quantized(weight->parameter().detach(), bits, by_rows);
      EXPECT_TRUE(torch::equal(weight->materialize(noisy(1)), expected));
      EXPECT_TRUE(torch::equal(weight->materialize({}), expected));
      WeightUse bf16;
      bf16.type = at::kBFloat16;
      EXPECT_TRUE(torch::equal(weight->materialize(bf16), expected.to(at::kBFloat16)));
      EXPECT_EQ(weight->scheme(), str_cat("int", bits));
    }
  }
}

TEST(Scalar, ProbabilityZeroIsTheIdentity) {
  const auto weight = make_scalar(torch::randn({8, 16}), int_n(4));
  EXPECT_TRUE(torch::equal(weight->materialize(noisy(0)), weight->parameter()));
  EXPECT_TRUE(torch::equal(weight->materialize(noisy(0, 0, at::kBFloat16)),
                           weight->parameter().detach().to(at::kBFloat16)));
}

TEST(Scalar, SelectsElementsAndLeavesTheOthersAlone) {
  const auto weight = make_scalar(torch::randn({64, 64}), int_n(3));
  const at::Tensor original = weight->parameter().detach();
  const at::Tensor quantized = weight->materialize({});
  {
    // Far outside the range from now on: never clipped, never reflected.
    const torch::NoGradGuard no_grad;
    weight->parameter()[0].fill_(100);
  }
  const at::Tensor value = weight->materialize(noisy(0.25));
  const at::Tensor drawn = value != original;
  EXPECT_TRUE(torch::equal(value.index({~drawn}), original.index({~drawn})));
  EXPECT_TRUE(torch::equal(value.slice(0, 1).index({drawn.slice(0, 1)}),
                           quantized.slice(0, 1).index({drawn.slice(0, 1)})));
  EXPECT_NEAR(drawn.to(at::kFloat).mean().item<float>(), 0.25, 0.03);
  EXPECT_LT(value[0].index({drawn[0]}).max().item<float>(), 10);
}

TEST(Scalar, StoredWeightIsUntouchedByAHundredNoisyPasses) {
  for (const NoiseKind kind : {NoiseKind::kNone, NoiseKind::kPq, NoiseKind::kPqExact, NoiseKind::kMean}) {
    for (const bool clipped : {false, true}) {
      ScalarOptions options = int_n(4, codec::Observer::kHistogram);
      options.update_step = 7;
      options.clipped = clipped;
      const auto weight = make_scalar(torch::randn({24, 32}), options, 3);
      const at::Tensor before = weight->parameter().detach().clone();
      for (uint64_t update = 0; update < 100; ++update) {
        WeightUse use = noisy(0.5, update, update % 2 ? at::kFloat : at::kBFloat16);
        use.noise.kind = kind;
        use.noise.probability = 0.3;
        use.noise.num_centroids = 16;
        weight->materialize(use);
        weight->materialize_rows(torch::tensor({1, 2, 3}), use);
        weight->materialize({});
      }
      EXPECT_TRUE(torch::equal(before, weight->parameter())) << noise_kind_name(kind) << clipped;
    }
  }
}

TEST(Scalar, RowsCarryTheNoiseOfTheTableAndPaddingStaysZero) {
  const at::Tensor indices = torch::tensor({{3, 1, 39}, {3, 0, 7}});
  for (const NoiseKind kind : {NoiseKind::kNone, NoiseKind::kPq, NoiseKind::kPqExact, NoiseKind::kMean}) {
    const auto weight = make_scalar(torch::randn({40, 16}), int_n(4, codec::Observer::kChannel), 1);
    WeightUse use = noisy(0.4);
    use.noise.kind = kind;
    use.noise.probability = 0.4;
    use.noise.num_centroids = 16;
    const at::Tensor rows = weight->materialize_rows(indices, use);
    EXPECT_TRUE(torch::equal(rows, weight->materialize(use).index({indices}))) << noise_kind_name(kind);
    EXPECT_TRUE(rows[0][1].eq(0).all().item<bool>());
    EXPECT_TRUE(
        torch::equal(weight->materialize_rows(indices, {}), weight->materialize({}).index({indices})));
  }
}

TEST(Scalar, Bf16IsTheRoundedFp32Value) {
  for (const NoiseKind kind : {NoiseKind::kNone, NoiseKind::kPq, NoiseKind::kPqExact, NoiseKind::kMean}) {
    ScalarOptions options = int_n(4);
    options.clipped = true;
    const auto weight = make_scalar(torch::randn({16, 32}), options);
    {
      const torch::NoGradGuard no_grad;
      weight->parameter().mul_(2);
    }
    WeightUse use = noisy(0.5);
    use.noise.kind = kind;
    use.noise.probability = 0.3;
    use.noise.num_centroids = 16;
    const at::Tensor fp32 = weight->materialize(use);
    use.type = at::kBFloat16;
    EXPECT_TRUE(torch::equal(weight->materialize(use), fp32.to(at::kBFloat16))) << noise_kind_name(kind);
  }
}

// What is drawn of one kind does not depend on the other.
TEST(Scalar, ComposesWithDroppedBlocks) {
  const auto weight = make_scalar(torch::randn({64, 64}), int_n(4));
  const auto dense = make_dense(weight->parameter().detach().clone());
  WeightUse use = noisy(0.5);
  const at::Tensor elements = weight->materialize(use);
  use.noise.kind = NoiseKind::kPq;
  use.noise.probability = 0.25;
  const at::Tensor both = weight->materialize(use);
  const at::Tensor kept = dense->materialize(use).ne(0).to(at::kFloat);
  EXPECT_TRUE(torch::allclose(both, elements * kept / 0.75F));
  EXPECT_NEAR(kept.mean().item<float>(), 0.75, 0.08);
}

TEST(Scalar, ComposesWithCodewordsAndMeans) {
  for (const NoiseKind kind : {NoiseKind::kPqExact, NoiseKind::kMean}) {
    const auto weight = make_scalar(torch::randn({32, 32}), int_n(4));
    const auto dense = make_dense(weight->parameter().detach().clone());
    WeightUse use = noisy(1);
    use.noise.kind = kind;
    use.noise.probability = 0.5;
    use.noise.num_centroids = 16;
    // Everything is quantized, codewords and means included.
    const codec::PackedWeight grid = weight->pack();
    std::vector<float> expected = to_vector(dense->materialize(use));
    codec::fake_quantize(expected, {{32, 32}}, {4, -1, grid.scales, grid.zero_points},
                         std::span<float>(expected), base::SerialFor());
    EXPECT_EQ(to_vector(weight->materialize(use)), expected) << noise_kind_name(kind);
  }
}

TEST(Scalar, GradientReachesEveryElementUnchanged) {
  const auto weight = make_scalar(torch::randn({8, 16}), int_n(2), 3);
  weight->materialize(noisy(0.5));
  const at::Tensor grad = torch::randn({8, 16});
  at::Tensor expected = grad.clone();
  expected[3].zero_();
  EXPECT_TRUE(torch::equal(weight->parameter_gradient(grad.clone()), expected));
}

TEST(Scalar, ClippedRuleIsTheReferences) {
  for (const auto observer : {codec::Observer::kTensor, codec::Observer::kChannel}) {
    ScalarOptions options = int_n(4, observer);
    options.clipped = true;
    const auto weight = make_scalar(torch::randn({16, 32}), options);
    const codec::AffineGrid grid{4, observer == codec::Observer::kTensor ? -1 : 0, weight->pack().scales,
                                 weight->pack().zero_points};
    {
      const torch::NoGradGuard no_grad;
      weight->parameter().mul_(1.5);
    }
    at::Tensor low = torch::empty({16, 1}), high = torch::empty({16, 1});
    for (int64_t row = 0; row < 16; ++row) {
      const auto channel = static_cast<size_t>(grid.axis < 0 ? 0 : row);
      low[row] = grid.range(channel).min;
      high[row] = grid.range(channel).max;
    }
    const at::Tensor stored = weight->parameter().detach();
    const at::Tensor value = weight->materialize(noisy(0.5));
    const at::Tensor quantized = weight->materialize({});
    weight->materialize(noisy(0.5));
    const at::Tensor clipped = at::minimum(at::maximum(stored, low), high);
    EXPECT_TRUE((value.eq(quantized) | value.eq(clipped)).all().item<bool>());
    const at::Tensor outside = stored.ne(clipped);
    EXPECT_GT(outside.sum().item<int64_t>(), 10);
    const at::Tensor grad = torch::ones({16, 32});
    EXPECT_TRUE(torch::equal(weight->parameter_gradient(grad.clone()), (~outside).to(at::kFloat)));
    const at::Tensor indices = torch::tensor({2, 5, 2});
    at::Tensor rows = torch::zeros({16, 32});
    rows.index_add_(0, indices, torch::ones({3, 32}));
    EXPECT_TRUE(torch::equal(weight->parameter_gradient_rows(torch::ones({3, 32}), indices, -1),
                             rows * (~outside).to(at::kFloat)));
    // Without noise there is nothing to clip.
    EXPECT_TRUE(torch::equal(weight->materialize(noisy(0)), stored));
    EXPECT_TRUE(torch::equal(weight->parameter_gradient(grad.clone()), grad));
  }
}

TEST(Scalar, GridFollowsTheCountOfUpdatesAlone) {
  ScalarOptions options = int_n(8);
  options.update_step = 100;
  const auto weight = make_scalar(torch::ones({4, 8}), options);
  const auto scale_after = [&](float largest, const WeightUse& use) {
    const torch::NoGradGuard no_grad;
    weight->parameter().fill_(largest);
    weight->materialize(use);
    return weight->pack().scales[0] * 255;
  };
  EXPECT_NEAR(scale_after(2, noisy(0.5, 0)), 1, 1e-5);  // the grid of update 0 is there already
  EXPECT_NEAR(scale_after(2, {}), 1, 1e-5);             // evaluation never moves it
  EXPECT_NEAR(scale_after(3, noisy(0.5, 1)), 3, 1e-5);  // weights move fast at first
  EXPECT_NEAR(scale_after(4, noisy(0.5, 2)), 4, 1e-5);
  EXPECT_NEAR(scale_after(5, noisy(0.5, 3)), 4, 1e-5);
  EXPECT_NEAR(scale_after(6, noisy(0.5, 64)), 6, 1e-5);
  EXPECT_NEAR(scale_after(7, noisy(0.5, 99)), 6, 1e-5);
  EXPECT_NEAR(scale_after(8, noisy(0, 100)), 8, 1e-5);  // without noise too: the file needs it
  EXPECT_NEAR(scale_after(9, noisy(0.5, 128)), 8, 1e-5);
  EXPECT_NEAR(scale_after(9, noisy(0.5, 199)), 8, 1e-5);
  EXPECT_NEAR(scale_after(10, noisy(0.5, 200)), 10, 1e-5);
  EXPECT_NEAR(scale_after(11, noisy(0.5, 200)), 10, 1e-5);  // other micro-batches of the update
}

TEST(Scalar, EvaluatesWhatTheFileHoldsAndComesBack) {
  for (const auto observer : {codec::Observer::kTensor, codec::Observer::kHistogram,
                              codec::Observer::kChannel, codec::Observer::kChannelL2}) {
    SCOPED_TRACE(codec::observer_name(observer));
    const auto weight = make_scalar(torch::randn({20, 32}), int_n(5, observer), 1);
    const codec::PackedWeight packed = weight->pack();
    EXPECT_EQ(packed.scheme, codec::Scheme::kAffine);
    EXPECT_EQ(packed.stored_bytes(), weight->stored_bytes());
    EXPECT_EQ(to_vector(weight->materialize({})), codec::unpack_to_float(packed));
    const auto back = from_packed(packed, codec::CentroidGradient::kSum);
    EXPECT_EQ(back->scheme(), "int5");
    EXPECT_EQ(back->zero_row(), 1);
    EXPECT_TRUE(torch::equal(back->materialize({}), weight->materialize({})));
    // A file written from the file is the same file.
    EXPECT_TRUE(std::ranges::equal(back->pack().codes.bytes, packed.codes.bytes));
    back->load_training_state(weight->training_state());
    EXPECT_TRUE(torch::equal(back->parameter(), weight->parameter()));
    EXPECT_TRUE(torch::equal(back->materialize(noisy(0.5)), weight->materialize(noisy(0.5))));
  }
}

TEST(Scalar, GridOfAFileStaysForAWholeStep) {
  const auto weight = make_scalar(torch::ones({4, 8}), int_n(8));
  const auto back = from_packed(weight->pack(), codec::CentroidGradient::kSum);
  {
    const torch::NoGradGuard no_grad;
    back->parameter().fill_(2);
  }
  back->materialize(noisy(0.5, 999));
  EXPECT_EQ(back->pack().scales, weight->pack().scales);
  back->materialize(noisy(0.5, 1000));
  EXPECT_NE(back->pack().scales, weight->pack().scales);
}

TEST(Scalar, StateThatDoesNotFitIsRefused) {
  const auto weight = make_scalar(torch::randn({4, 8}), int_n(8));
  std::map<std::string, at::Tensor> state = weight->training_state();
  state["weight"] = torch::zeros({4, 9});
  EXPECT_THROW(weight->load_training_state(state), Error);
  state = weight->training_state();
  state["grid_scales"] = torch::zeros({1});
  EXPECT_THROW(weight->load_training_state(state), Error);
  state.erase("grid_scales");
  EXPECT_THROW(weight->load_training_state(state), Error);
  state = weight->training_state();
  state.erase("weight");
  EXPECT_THROW(weight->load_training_state(state), Error);
}

TEST(Scalar, ConstantWeightsAndChannelsOfZeros) {
  for (const auto observer : {codec::Observer::kTensor, codec::Observer::kHistogram,
                              codec::Observer::kChannel, codec::Observer::kChannelL2}) {
    SCOPED_TRACE(codec::observer_name(observer));
    for (const float constant : {0.0F, 0.75F, -3.0F}) {
      const auto weight = make_scalar(torch::full({4, 8}, constant), int_n(2, observer));
      EXPECT_TRUE(torch::allclose(weight->materialize({}), weight->parameter(), 1e-6, 0));
    }
    at::Tensor mixed = torch::randn({4, 8});
    mixed[2].zero_();
    const auto weight = make_scalar(mixed, int_n(8, observer));
    EXPECT_TRUE(weight->materialize({})[2].eq(0).all().item<bool>());
    EXPECT_TRUE(torch::allclose(weight->materialize({}), mixed, 0, 0.05));
  }
}

TEST(Scalar, BadOptionsAndWeightsAreRefused) {
  for (const int bits : {0, 1, 9, 16}) EXPECT_THROW(make_scalar(torch::randn({4, 8}), int_n(bits)), Error);
  ScalarOptions options;
  options.update_step = 0;
  EXPECT_THROW(make_scalar(torch::randn({4, 8}), options), Error);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    at::Tensor weight = torch::randn({4, 8});
    weight[2][5] = bad;
    EXPECT_THROW(make_scalar(weight, int_n(8)), Error);
  }
}

}  // namespace
}  // namespace quantnoise::quant
