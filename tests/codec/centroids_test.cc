#include "quantnoise/codec/centroids.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "quantnoise/base/random.h"
#include "quantnoise/codec/half.h"

namespace quantnoise::codec {
namespace {

std::vector<float> random_centroids(float scale, uint64_t seed) {
  std::vector<float> centroids(256);
  base::SequentialRandom random(seed);
  for (float& value : centroids) value = scale * (2 * random.uniform() - 1);
  return centroids;
}

TEST(Int8Centroids, ErrorIsAtMostHalfAStep) {
  for (const float scale : {1e-20F, 0.03F, 1.0F, 1e10F}) {
    const std::vector<float> centroids = random_centroids(scale, 3);
    float largest = 0;
    for (const float value : centroids) largest = std::max(largest, std::abs(value));
    std::vector<float> rounded(centroids.size());
    round_centroids(centroids, ScalarType::kI8, rounded);
    for (size_t i = 0; i < centroids.size(); ++i) {
      ASSERT_LE(std::abs(rounded[i] - centroids[i]), largest / 127 * 0.5002F);
    }
  }
}

TEST(Int8Centroids, RoundingTwiceIsRoundingOnce) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    const std::vector<float> centroids = random_centroids(0.1F + 0.01F * static_cast<float>(seed), seed);
    std::vector<float> once(centroids.size()), twice(centroids.size());
    round_centroids(centroids, ScalarType::kI8, once);
    round_centroids(once, ScalarType::kI8, twice);
    ASSERT_EQ(once, twice);
    ASSERT_EQ(centroid_grid(once).scales, centroid_grid(centroids).scales);
  }
}

TEST(Int8Centroids, ScaleByHand) {
  const std::vector<float> centroids = {0.5F, -127, 3};
  EXPECT_EQ(centroid_grid(centroids).scales[0], 1);
  std::vector<float> rounded(3);
  round_centroids(centroids, ScalarType::kI8, rounded);
  EXPECT_EQ(rounded, (std::vector<float>{0, -127, 3}));
  EXPECT_EQ(centroid_grid(std::vector<float>(4, 0.0F)).scales[0], 1);
}

TEST(Centroids, HalfIsRoundedAndBounded) {
  const std::vector<float> centroids = {0.1F, -65504};
  std::vector<float> rounded(2);
  round_centroids(centroids, ScalarType::kF16, rounded);
  EXPECT_EQ(rounded[0], half_to_float(float_to_half(0.1F)));
  const std::vector<float> large = {65505.0F};
  std::vector<float> one(1);
  EXPECT_THROW(round_centroids(large, ScalarType::kF16, one), Error);
  EXPECT_NO_THROW(round_centroids(large, ScalarType::kI8, one));
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    EXPECT_THROW(centroid_grid(std::vector<float>{1, bad}), Error);
  }
}

}  // namespace
}  // namespace quantnoise::codec
