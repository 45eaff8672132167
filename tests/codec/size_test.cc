#include "quantnoise/codec/size.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quantnoise::codec {
namespace {

// The 16-layer Wikitext-103 model: width 1024, feed-forward 4096, adaptive bands of 20,000, 40,000 and
// 207,744 words of 1024, 256 and 64 dimensions, tied; codes of 256 centroids, stages FFN, embeddings,
// attention.
TEST(SizeTracker, FiguresOfTheLanguageModelThroughTheStages) {
  constexpr int64_t kWidth = 1024, kFeedForward = 4096, kLayers = 16;
  constexpr int64_t kParameters = 246933504;
  SizeTracker tracker(kParameters);
  EXPECT_NEAR(tracker.uncompressed_mib(), 941.98, 0.005);

  for (int64_t layer = 0; layer < kLayers; ++layer) {
    tracker.add_product(kFeedForward * kWidth, 8, 256);
    tracker.add_product(kWidth * kFeedForward, 8, 256);
  }
  EXPECT_NEAR(tracker.index_mib(), 16.0, 0.0005);
  EXPECT_NEAR(tracker.centroid_mib(), 0.125, 0.0005);
  EXPECT_NEAR(tracker.not_quantized_mib(), 429.977, 0.0005);
  EXPECT_NEAR(tracker.compressed_mib(), 446.10, 0.005);

  const int64_t words[] = {20000, 40000, 207744}, dimensions[] = {1024, 256, 64};
  for (int band = 0; band < 3; ++band) {
    tracker.add_product(words[band] * dimensions[band], 8, 256);
    tracker.add_product(kWidth * dimensions[band], 4, 256);
  }
  EXPECT_NEAR(tracker.index_mib(), 21.575, 0.0005);
  EXPECT_NEAR(tracker.compressed_mib(), 278.54, 0.005);

  for (int64_t i = 0; i < 4 * kLayers; ++i) tracker.add_product(kWidth * kWidth, 4, 256);
  EXPECT_NEAR(tracker.index_mib(), 37.575, 0.0005);
  EXPECT_NEAR(tracker.centroid_mib(), 0.268, 0.0005);
  EXPECT_NEAR(tracker.not_quantized_mib(), 0.820, 0.0005);
  EXPECT_NEAR(tracker.compressed_mib(), 38.66, 0.005);
  EXPECT_NEAR(tracker.ratio(), 24.36, 0.01);
  EXPECT_THAT(tracker.summary(), ::testing::HasSubstr("dense 941.98 MiB; compressed 38.66 MiB"));
}

TEST(SizeTracker, CountsFractionsOfBits) {
  SizeTracker tracker(1 << 20);
  tracker.add_product(1 << 20, 8, 3);
  EXPECT_NEAR(tracker.index_mib(), 1.584962500721156 / 64, 1e-9);
}

}  // namespace
}  // namespace quantnoise::codec
