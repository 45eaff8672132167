#include "quantnoise/codec/affine_noise.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "quantnoise/base/error.h"
#include "quantnoise/codec/half.h"
#include "quantnoise/codec/observer.h"
#include "sample_weights.h"

namespace quantnoise::codec {
namespace {

constexpr int64_t kRows = 61;
constexpr int64_t kCols = 77;  // rows begin inside a block of draws

struct Case {
  explicit Case(double probability, int axis = 0, int bits = 4)
      : weight(test::gaussian(static_cast<size_t>(kRows * kCols), 1)) {
    grid.bits = bits;
    grid.axis = axis;
    const int64_t channels = axis < 0 ? 1 : shape[static_cast<size_t>(axis)];
    grid.scales.clear();
    grid.zero_points.clear();
    // Narrower than the weights: some of them would be clipped.
    for (int64_t i = 0; i < channels; ++i) {
      grid.scales.push_back(0.1f / static_cast<float>(grid.max_code()) * (1 + 0.01f * static_cast<float>(i)));
      grid.zero_points.push_back(grid.max_code() / 2);
    }
    spec.probability = probability;
    spec.stream = base::RandomStream(7, base::hash_name("fc1.weight"), 12, 1);
    quantized.resize(weight.size());
    fake_quantize(weight, shape, grid, quantized, base::SerialFor());
  }

  std::vector<float> apply() const {
    std::vector<float> out(weight.size());
    apply_affine_noise(spec, grid, weight.data(), shape, out.data(), base::ThreadPool(2));
    return out;
  }

  std::vector<int64_t> shape = {kRows, 7, 11};
  std::vector<float> weight, quantized;
  AffineGrid grid;
  AffineNoiseSpec spec;
};

TEST(AffineNoise, FollowsItsDefinition) {
  for (const int axis : {-1, 0, 1, 2}) {
    Case c(0.3, axis);
    c.spec.zero_row = 17;
    const std::vector<float> before = c.weight;
    const std::vector<float> out = c.apply();
    for (size_t i = 0; i < out.size(); ++i) {
      const bool drawn = is_drawn(c.spec, i) && i / static_cast<size_t>(kCols) != 17;
      ASSERT_EQ(out[i], drawn ? c.quantized[i] : c.weight[i]) << i;
    }
    EXPECT_EQ(c.weight, before);
  }
}

TEST(AffineNoise, WhatIsNotDrawnIsNeverClamped) {
  const Case c(0.5);
  const std::vector<float> out = c.apply();
  int64_t outside = 0;
  for (size_t i = 0; i < out.size(); ++i) {
    const AffineRange range = c.grid.range(i / static_cast<size_t>(kCols));
    if (is_drawn(c.spec, i)) {
      ASSERT_GE(out[i], range.min);
      ASSERT_LE(out[i], range.max);
    } else if (c.weight[i] < range.min || c.weight[i] > range.max) {
      ASSERT_EQ(out[i], c.weight[i]);
      ++outside;
    }
  }
  EXPECT_GT(outside, 100);
}

TEST(AffineNoise, ProbabilityZeroIsTheIdentityAndOneQuantizesEverything) {
  EXPECT_EQ(Case(0).apply(), Case(0).weight);
  for (const int axis : {-1, 0, 2}) EXPECT_EQ(Case(1, axis).apply(), Case(1, axis).quantized);
}

TEST(AffineNoise, RateIsTheProbability) {
  for (const double probability : {0.01, 0.1, 0.5, 0.9}) {
    const Case c(probability);
    constexpr uint64_t kDraws = 200000;
    int64_t drawn = 0, both = 0;
    for (uint64_t i = 0; i < kDraws; ++i) {
      drawn += is_drawn(c.spec, i);
      both += is_drawn(c.spec, i) && is_drawn(c.spec, i + 1);
    }
    const auto within = [&](int64_t count, double rate) {
      EXPECT_NEAR(static_cast<double>(count), rate * kDraws, 5 * std::sqrt(kDraws * rate * (1 - rate)) + 4);
    };
    within(drawn, probability);
    within(both, probability * probability);  // neighbours are independent
  }
}

TEST(AffineNoise, UpdatesAndMicroBatchesDrawAnew) {
  Case c(0.5);
  const std::vector<float> first = c.apply();
  c.spec.stream = base::RandomStream(7, base::hash_name("fc1.weight"), 13, 1);
  const std::vector<float> next_update = c.apply();
  c.spec.stream = base::RandomStream(7, base::hash_name("fc1.weight"), 12, 2);
  const std::vector<float> next_batch = c.apply();
  EXPECT_NE(first, next_update);
  EXPECT_NE(first, next_batch);
  EXPECT_NE(next_update, next_batch);
}

TEST(AffineNoise, RowsEqualThoseOfTheWhole) {
  for (const int axis : {-1, 0, 1, 2}) {
    Case c(0.4, axis);
    c.spec.zero_row = 3;
    const std::vector<float> whole = c.apply();
    std::vector<uint16_t> whole_half(whole.size());
    apply_affine_noise(c.spec, c.grid, c.weight.data(), c.shape, whole_half.data(), base::SerialFor());
    const std::vector<int64_t> rows = {5, 0, 60, 3, 5, 17};
    std::vector<float> out(rows.size() * static_cast<size_t>(kCols));
    std::vector<uint16_t> half(out.size());
    apply_affine_noise_rows(c.spec, c.grid, c.weight.data(), c.shape, rows, out.data(), base::ThreadPool(2));
    apply_affine_noise_rows(c.spec, c.grid, c.weight.data(), c.shape, rows, half.data(), base::ThreadPool(2));
    for (size_t i = 0; i < out.size(); ++i) {
      const auto row = static_cast<size_t>(rows[i / static_cast<size_t>(kCols)]);
      const size_t from = row * static_cast<size_t>(kCols) + i % static_cast<size_t>(kCols);
      ASSERT_EQ(out[i], whole[from]);
      ASSERT_EQ(half[i], whole_half[from]);
    }
  }
}

TEST(AffineNoise, HalfPrecisionIsTheSameNoiseRounded) {
  const Case c(0.4);
  const std::vector<float> out = c.apply();
  std::vector<uint16_t> half(out.size());
  apply_affine_noise(c.spec, c.grid, c.weight.data(), c.shape, half.data(), base::ThreadPool(2));
  for (size_t i = 0; i < out.size(); ++i) ASSERT_EQ(half[i], float_to_bf16(out[i]));
}

TEST(AffineNoise, HalfPrecisionInputs) {
  const Case c(0.4);
  std::vector<uint16_t> x, out(c.weight.size());
  for (const float value : c.weight) x.push_back(float_to_bf16(value));
  apply_affine_noise(c.spec, c.grid, x.data(), c.shape, out.data(), base::SerialFor());
  std::vector<uint16_t> quantized(x.size());
  fake_quantize(x, c.shape, c.grid, quantized, base::SerialFor());
  for (size_t i = 0; i < out.size(); ++i) ASSERT_EQ(out[i], is_drawn(c.spec, i) ? quantized[i] : x[i]) << i;
}

TEST(AffineNoise, ThreadsDoNotMatter) {
  const std::vector<int64_t> shape = {300, 999};
  const std::vector<float> weight = test::gaussian(300 * 999, 2);
  const AffineGrid grid = observe_weight(weight, shape, {Observer::kChannel, 8}, base::SerialFor());
  AffineNoiseSpec spec;
  spec.probability = 0.5;
  std::vector<float> one(weight.size()), three(weight.size());
  apply_affine_noise(spec, grid, weight.data(), shape, one.data(), base::SerialFor());
  apply_affine_noise(spec, grid, weight.data(), shape, three.data(), base::ThreadPool(3));
  EXPECT_EQ(one, three);
}

TEST(AffineNoise, BadInput) {
  const auto kind_of = [](const auto& spoil) {
    Case c(0.5);
    spoil(c);
    std::vector<float> out(c.weight.size());
    try {
      apply_affine_noise_rows(c.spec, c.grid, c.weight.data(), c.shape, std::vector<int64_t>{0, 60},
                              out.data(), base::SerialFor());
    } catch (const Error& error) {
      return error.kind();
    }
    return ErrorKind::kInternal;
  };
  EXPECT_EQ(kind_of([](Case& c) { c.spec.probability = 1.5; }), ErrorKind::kConfig);
  EXPECT_EQ(kind_of([](Case& c) { c.spec.probability = std::nan(""); }), ErrorKind::kConfig);
  EXPECT_EQ(kind_of([](Case& c) { c.spec.zero_row = kRows; }), ErrorKind::kConfig);
  EXPECT_EQ(kind_of([](Case& c) { c.grid.scales.pop_back(); }), ErrorKind::kConfig);
  EXPECT_EQ(kind_of([](Case& c) { c.shape = {60, 7, 11}, c.grid.axis = 1; }), ErrorKind::kConfig);
  Case c(0.5);
  std::vector<float> out(c.weight.size());
  EXPECT_THROW(apply_affine_noise_rows(c.spec, c.grid, c.weight.data(), c.shape, std::vector<int64_t>{61},
                                       out.data(), base::SerialFor()),
               Error);
}

}  // namespace
}  // namespace quantnoise::codec
