#include "quantnoise/codec/observer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "quantnoise/base/error.h"
#include "sample_weights.h"

namespace quantnoise::codec {
namespace {

using test::distribution;
using test::gaussian;
using test::kDistributions;
using ::testing::HasSubstr;

const base::SerialFor kSerial;

AffineGrid observed(const std::vector<float>& weight, const std::vector<int64_t>& shape, Observer observer,
                    int bits, bool symmetric = false, int axis = 0) {
  return observe_weight(weight, shape, {observer, bits, symmetric, axis}, kSerial);
}

double error_of(const std::vector<float>& weight, const std::vector<int64_t>& shape, const AffineGrid& grid) {
  return affine_squared_error(weight, shape, grid, kSerial);
}

TEST(Observer, Names) {
  for (const Observer observer :
       {Observer::kTensor, Observer::kHistogram, Observer::kChannel, Observer::kChannelL2}) {
    EXPECT_EQ(parse_observer(observer_name(observer)), observer);
  }
  EXPECT_EQ(observer_name(Observer::kHistogram), "histogram");
  try {
    parse_observer("median");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfig);
    EXPECT_STREQ(error.what(),
                 "observer: found 'median', expected one of tensor, histogram, channel, channel-l2");
  }
}

TEST(Observer, TheTensorsRangeIsItsExtent) {
  const std::vector<float> weight = {-0.5f, 0.25f, 2.0f, 1.0f};
  const AffineGrid grid = observed(weight, {4}, Observer::kTensor, 4);
  EXPECT_EQ(grid.axis, -1);
  EXPECT_EQ(grid.scales[0], 2.5f / 15);
  EXPECT_EQ(grid.zero_points[0], 3);
}

TEST(Observer, TheHistogramsRangeIsNeverWorseThanTheExtent) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    for (int kind = 0; kind < kDistributions; ++kind) {
      const auto count = static_cast<int64_t>(20 + 37 * seed * seed);
      const std::vector<float> weight = distribution(kind, static_cast<size_t>(count), seed);
      for (int bits = 2; bits <= 8; ++bits) {
        for (const bool symmetric : {false, true}) {
          const double widest =
              error_of(weight, {count}, observed(weight, {count}, Observer::kTensor, bits, symmetric));
          const double best =
              error_of(weight, {count}, observed(weight, {count}, Observer::kHistogram, bits, symmetric));
          ASSERT_LE(best, widest) << "kind " << kind << ", " << bits << " bits, seed " << seed;
        }
      }
    }
  }
}

// Against all zero points and 200 scales down to a fiftieth of the extent's.
TEST(Observer, TheHistogramsRangeIsNearlyTheBest) {
  for (int kind = 0; kind < kDistributions; ++kind) {
    const std::vector<float> weight = distribution(kind, 5000, 3);
    for (const int bits : {2, 3, 4}) {
      const float widest = observed(weight, {5000}, Observer::kTensor, bits).scales[0];
      double best = HUGE_VAL;
      for (int zero_point = 0; zero_point < 1 << bits; ++zero_point) {
        for (int i = 0; i < 200; ++i) {
          const float scale = widest * 1.1f * static_cast<float>(std::pow(0.98, i));
          best = std::min(best, error_of(weight, {5000}, {bits, -1, {scale}, {zero_point}}));
        }
      }
      const double found = error_of(weight, {5000}, observed(weight, {5000}, Observer::kHistogram, bits));
      EXPECT_LE(found, best * 1.01) << "kind " << kind << ", " << bits << " bits";
    }
  }
}

TEST(Observer, ChannelsHaveTheirOwnExtents) {
  std::vector<float> weight = gaussian(6 * 5 * 4, 4, 1);
  const std::vector<int64_t> shape = {6, 5, 4};
  const int64_t strides[] = {20, 4, 1};
  for (int axis = 0; axis < 3; ++axis) {
    for (const Observer observer : {Observer::kChannel, Observer::kChannelL2}) {
      const AffineGrid grid = observed(weight, shape, observer, 4, false, axis);
      EXPECT_EQ(grid.axis, axis);
      ASSERT_EQ(grid.scales.size(), static_cast<size_t>(shape[static_cast<size_t>(axis)]));
      for (int64_t channel = 0; channel < shape[static_cast<size_t>(axis)]; ++channel) {
        std::vector<float> values;
        for (int64_t i = 0; i < 120; ++i) {
          const int64_t index = i / strides[axis] % shape[static_cast<size_t>(axis)];
          if (index == channel) values.push_back(weight[static_cast<size_t>(i)]);
        }
        const auto size = static_cast<int64_t>(values.size());
        const auto at = static_cast<size_t>(channel);
        const AffineGrid own{4, -1, {grid.scales[at]}, {grid.zero_points[at]}};
        const AffineGrid extent = observed(values, {size}, Observer::kTensor, 4);
        if (observer == Observer::kChannel) {
          EXPECT_EQ(own.scales, extent.scales);
          EXPECT_EQ(own.zero_points, extent.zero_points);
        } else {
          EXPECT_LE(error_of(values, {size}, own), error_of(values, {size}, extent));
        }
      }
    }
  }
}

// Rows whose scales differ by a factor of 1,000: one range for all of them loses the small ones.
TEST(Observer, ChannelsBeatTheTensorOnRowsOfDifferentScale) {
  std::vector<float> weight = gaussian(64 * 128, 5, 1);
  const std::vector<int64_t> shape = {64, 128};
  for (size_t i = 0; i < weight.size(); ++i) weight[i] *= std::pow(1000.0f, static_cast<float>(i / 128) / 63);
  for (int bits = 2; bits <= 8; ++bits) {
    const double tensor = error_of(weight, shape, observed(weight, shape, Observer::kHistogram, bits));
    const double channel = error_of(weight, shape, observed(weight, shape, Observer::kChannel, bits));
    const double channel_l2 = error_of(weight, shape, observed(weight, shape, Observer::kChannelL2, bits));
    EXPECT_LT(channel_l2, tensor * (bits == 2 ? 0.7 : 0.5)) << bits << " bits";
    EXPECT_LT(channel_l2, channel) << bits << " bits";
    if (bits >= 4) {
      EXPECT_LT(channel, tensor / 2) << bits << " bits";
    }
  }
}

TEST(Observer, DegenerateWeights) {
  const std::vector<float> constant(100, -0.7f), zeros(100, 0.0f);
  std::vector<float> one_zero_row = gaussian(100, 6);
  std::fill_n(one_zero_row.begin() + 30, 10, 0.0f);
  for (const Observer observer :
       {Observer::kTensor, Observer::kHistogram, Observer::kChannel, Observer::kChannelL2}) {
    for (const bool symmetric : {false, true}) {
      for (const int bits : {2, 5, 8}) {
        const std::vector<int64_t> shape = {10, 10};
        const AffineGrid grid = observed(constant, shape, observer, bits, symmetric);
        // A symmetric extent has no value at its very ends, an L2 range does.
        const bool at_the_end =
            !symmetric || observer == Observer::kHistogram || observer == Observer::kChannelL2;
        const double relative = std::sqrt(error_of(constant, shape, grid) / 49);
        EXPECT_LT(relative, at_the_end ? 1e-6 : 0.5 / (grid.max_code() / 2.0)) << observer_name(observer);
        EXPECT_EQ(error_of(zeros, shape, observed(zeros, shape, observer, bits, symmetric)), 0);
        const AffineGrid rows = observed(one_zero_row, shape, observer, bits, symmetric);
        if (rows.axis == 0) {
          EXPECT_EQ(rows.scales[3], 1.0f);
        }
        const AffineGrid none = observe_weight({}, {{0, 4}}, {observer, bits, symmetric, 1}, kSerial);
        EXPECT_EQ(none.scales, std::vector<float>(none.axis == 1 ? 4 : 1, 1.0f));
        check_affine_grid(none, {{0, 4}}, ErrorKind::kInternal);
      }
    }
  }
}

TEST(Observer, BadInputNamesWhatIsWrong) {
  const auto message = [](std::vector<float> weight, ObserveOptions options, ErrorKind kind) {
    try {
      observe_weight(weight, {{2, 3}}, options, kSerial);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind);
      return std::string(error.what());
    }
    return std::string("no error");
  };
  for (const Observer observer :
       {Observer::kTensor, Observer::kHistogram, Observer::kChannel, Observer::kChannelL2}) {
    EXPECT_THAT(message({1, 2, 3, 4, NAN, 6}, {observer, 8}, ErrorKind::kNumeric),
                HasSubstr("row 1, column 1: found nan"));
    EXPECT_THAT(message({1, 2, -INFINITY, 4, 5, 6}, {observer, 8}, ErrorKind::kNumeric),
                HasSubstr("row 0, column 2: found -inf"));
    EXPECT_THAT(message({1, 2, 3e38f, 4, 5, 6}, {observer, 8}, ErrorKind::kNumeric),
                HasSubstr("expected magnitudes of at most 2^126"));
    EXPECT_THAT(message({1, 2, 3, 4, 5, 6}, {observer, 9}, ErrorKind::kConfig),
                HasSubstr("bits of affine quantization: found 9"));
  }
  EXPECT_THAT(message({1, 2, 3, 4, 5, 6}, {Observer::kChannel, 8, false, 2}, ErrorKind::kConfig),
              HasSubstr("axis of the channels: found 2, expected a dimension of [2, 3]"));
}

}  // namespace
}  // namespace quantnoise::codec
