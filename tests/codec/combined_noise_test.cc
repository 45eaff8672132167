#include "quantnoise/codec/combined_noise.h"

#include <gtest/gtest.h>

#include <cmath>

#include "quantnoise/base/error.h"
#include "quantnoise/codec/half.h"

namespace quantnoise::codec {
namespace {

constexpr int64_t kRows = 300;
constexpr int64_t kCols = 96;

std::vector<float> random_weight() {
  std::vector<float> weight(kRows * kCols);
  base::SequentialRandom random(1);
  for (float& value : weight) value = 2 * random.uniform() - 1;
  return weight;
}

AffineGrid grid() {
  const AffineRange range{-0.9F, 0.9F};
  return affine_grid({&range, 1}, 4, false);
}

CombinedNoiseSpec spec(BlockNoise kind, double blocks, double elements) {
  CombinedNoiseSpec spec;
  spec.blocks.kind = kind;
  spec.blocks.probability = blocks;
  spec.blocks.block_size = 8;
  spec.blocks.survivor_scale = static_cast<float>(1 / (1 - blocks));
  spec.blocks.stream = base::RandomStream(1, 2, 3, 4);
  spec.elements.probability = elements;
  spec.elements.stream = base::RandomStream(1, 5, 3, 4);
  spec.blocks.zero_row = spec.elements.zero_row = 7;
  return spec;
}

std::vector<float> noised(const CombinedNoiseSpec& spec, const std::vector<float>& weight,
                          const base::ParallelFor& parallel_for = base::SerialFor()) {
  std::vector<float> out(weight.size());
  apply_combined_noise(spec, grid(), weight.data(), {{kRows, kCols}}, out.data(), parallel_for);
  return out;
}

TEST(CombinedNoise, IsOnePassAfterTheOther) {
  const std::vector<float> weight = random_weight();
  for (const BlockNoise kind : {BlockNoise::kDrop, BlockNoise::kMean, BlockNoise::kNone}) {
    const CombinedNoiseSpec both = spec(kind, 0.3, 0.5);
    std::vector<float> between(weight.size()), expected(weight.size());
    if (kind == BlockNoise::kDrop) {
      apply_affine_noise(both.elements, grid(), weight.data(), {{kRows, kCols}}, between.data(),
                         base::SerialFor());
      apply_block_noise(both.blocks, between.data(), kRows, kCols, expected.data(), base::SerialFor());
    } else {
      apply_block_noise(both.blocks, weight.data(), kRows, kCols, between.data(), base::SerialFor());
      apply_affine_noise(both.elements, grid(), between.data(), {{kRows, kCols}}, expected.data(),
                         base::SerialFor());
    }
    EXPECT_EQ(noised(both, weight), expected);
    std::vector<uint16_t> bf16(weight.size());
    apply_combined_noise(both, grid(), weight.data(), {{kRows, kCols}}, bf16.data(), base::SerialFor());
    for (size_t i = 0; i < bf16.size(); ++i) ASSERT_EQ(bf16[i], float_to_bf16(expected[i]));
    const std::vector<int64_t> indices = {0, 7, 299, 120, 0};
    std::vector<float> rows(indices.size() * kCols);
    apply_combined_noise_rows(both, grid(), weight.data(), {{kRows, kCols}}, indices, rows.data(),
                              base::SerialFor());
    for (size_t i = 0; i < rows.size(); ++i) {
      ASSERT_EQ(rows[i], expected[static_cast<size_t>(indices[i / kCols] * kCols) + i % kCols]);
    }
  }
}

TEST(CombinedNoise, ExactBlocksAreQuantizedToo) {
  const std::vector<float> weight = random_weight();
  std::vector<float> centroids(2 * 8);
  for (size_t i = 0; i < centroids.size(); ++i) centroids[i] = 0.01F * static_cast<float>(i);
  const std::vector<uint16_t> codes(weight.size() / 8, 1);
  CombinedNoiseSpec both = spec(BlockNoise::kExact, 1, 1);
  both.blocks.centroids = centroids;
  both.blocks.codes = codes;
  std::vector<float> expected(8);
  fake_quantize(std::span<const float>(centroids).subspan(8), {{8}}, grid(), expected, base::SerialFor());
  const std::vector<float> out = noised(both, weight);
  for (size_t i = 0; i < out.size(); ++i) {
    if (i / kCols == 7) {
      ASSERT_EQ(out[i], weight[i]);
    } else {
      ASSERT_EQ(out[i], expected[i % 8]);
    }
  }
}

TEST(CombinedNoise, ThreadsDoNotMatter) {
  const std::vector<float> weight = random_weight();
  const base::ThreadPool pool(2);
  const CombinedNoiseSpec both = spec(BlockNoise::kDrop, 0.3, 0.5);
  EXPECT_EQ(noised(both, weight), noised(both, weight, pool));
}

TEST(CombinedNoise, BadSpecsAreRefused) {
  const std::vector<float> weight = random_weight();
  CombinedNoiseSpec bad = spec(BlockNoise::kDrop, 0.3, 0.5);
  bad.elements.zero_row = -1;
  EXPECT_THROW(noised(bad, weight), Error);
  bad = spec(BlockNoise::kDrop, 0.3, 0.5);
  bad.blocks.block_size = 7;
  EXPECT_THROW(noised(bad, weight), Error);
  bad = spec(BlockNoise::kDrop, 0.3, 1.5);
  EXPECT_THROW(noised(bad, weight), Error);
}

TEST(ClippedNoise, ClipsWhatIsNotDrawn) {
  const std::vector<float> weight = random_weight();
  AffineNoiseSpec noise = spec(BlockNoise::kNone, 0, 0.5).elements;
  noise.clip = true;
  std::vector<float> out(weight.size());
  apply_affine_noise(noise, grid(), weight.data(), {{kRows, kCols}}, out.data(), base::SerialFor());
  const AffineRange range = grid().range(0);
  for (size_t i = 0; i < out.size(); ++i) {
    if (is_drawn(noise, i) && i / kCols != 7) continue;
    ASSERT_EQ(out[i], std::clamp(weight[i], range.min, range.max));
  }
  std::vector<uint16_t> bf16(weight.size());
  apply_affine_noise(noise, grid(), weight.data(), {{kRows, kCols}}, bf16.data(), base::SerialFor());
  for (size_t i = 0; i < bf16.size(); ++i) ASSERT_EQ(bf16[i], float_to_bf16(out[i]));
}

}  // namespace
}  // namespace quantnoise::codec
