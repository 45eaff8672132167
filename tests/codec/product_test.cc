#include "quantnoise/codec/product.h"

#include <gtest/gtest.h>

#include <vector>

#include "quantnoise/base/error.h"
#include "quantnoise/base/random.h"
#include "quantnoise/codec/half.h"

namespace quantnoise::codec {
namespace {

ProductMatrix random_matrix(int64_t rows, int64_t cols, int block_size, int num_centroids) {
  base::SequentialRandom random(1);
  ProductMatrix matrix{rows, cols, block_size, num_centroids, {}, {}};
  for (int i = 0; i < num_centroids * block_size; ++i) matrix.centroids.push_back(random.uniform() - 0.5f);
  for (int64_t i = 0; i < rows * cols / block_size; ++i) {
    matrix.codes.push_back(static_cast<uint16_t>(random.below(static_cast<uint64_t>(num_centroids))));
  }
  return matrix;
}

TEST(Product, DecodeTakesTheBlockOfTheRow) {
  const ProductMatrix matrix = random_matrix(37, 48, 4, 11);
  std::vector<float> out(37 * 48);
  decode(matrix, out, base::ThreadPool(2));
  std::vector<uint16_t> out16(out.size());
  decode_bf16(matrix, out16, base::SerialFor());
  for (size_t r = 0; r < 37; ++r) {
    for (size_t c = 0; c < 48; ++c) {
      const float expected = matrix.centroids[matrix.codes[r * 12 + c / 4] * size_t{4} + c % 4];
      ASSERT_EQ(out[r * 48 + c], expected);
      ASSERT_EQ(out16[r * 48 + c], float_to_bf16(expected));
    }
  }
}

TEST(Product, DecodeRowsEqualsRowsOfDecode) {
  const ProductMatrix matrix = random_matrix(50, 24, 8, 300);
  std::vector<float> whole(50 * 24);
  decode(matrix, whole, base::SerialFor());
  const std::vector<int64_t> rows = {49, 0, 7, 7};
  std::vector<float> out(4 * 24);
  decode_rows(matrix, rows, out, base::ThreadPool(2));
  for (size_t i = 0; i < rows.size(); ++i) {
    for (size_t c = 0; c < 24; ++c) EXPECT_EQ(out[i * 24 + c], whole[static_cast<size_t>(rows[i]) * 24 + c]);
  }
  const std::vector<int64_t> outside = {50};
  std::vector<float> one(24);
  EXPECT_THROW(decode_rows(matrix, outside, one, base::SerialFor()), Error);
}

TEST(Product, CentroidGradientIsSumOrMeanOverMembers) {
  const ProductMatrix matrix = random_matrix(1000, 40, 8, 13);
  base::SequentialRandom random(2);
  std::vector<float> gradient(1000 * 40);
  for (float& value : gradient) value = static_cast<float>(random.below(9)) - 4;
  const std::vector<int64_t> counts = count_codes(matrix.codes, 13);
  std::vector<double> expected(13 * 8);
  for (size_t i = 0; i < matrix.codes.size(); ++i) {
    for (size_t j = 0; j < 8; ++j) expected[matrix.codes[i] * size_t{8} + j] += gradient[i * 8 + j];
  }
  for (const CentroidGradient mode : {CentroidGradient::kSum, CentroidGradient::kMean}) {
    std::vector<float> serial(13 * 8, 0.5f), threaded(13 * 8, 0.5f);
    accumulate_centroid_gradient(gradient, 1000, 40, 8, matrix.codes, 13, mode, counts, serial,
                                 base::SerialFor());
    accumulate_centroid_gradient(gradient, 1000, 40, 8, matrix.codes, 13, mode, counts, threaded,
                                 base::ThreadPool(3));
    EXPECT_EQ(serial, threaded);
    for (size_t i = 0; i < expected.size(); ++i) {
      const double divisor = mode == CentroidGradient::kMean ? static_cast<double>(counts[i / 8]) : 1.0;
      EXPECT_FLOAT_EQ(serial[i], 0.5f + static_cast<float>(expected[i] / divisor));
    }
  }
}

TEST(Product, CentroidWithoutBlocksGetsNoMeanGradient) {
  const std::vector<uint16_t> codes = {0, 0};
  const std::vector<int64_t> counts = {2, 0};
  const std::vector<float> gradient = {1, 2, 3, 4};
  std::vector<float> out(4);
  accumulate_centroid_gradient(gradient, 1, 4, 2, codes, 2, CentroidGradient::kMean, counts, out,
                               base::SerialFor());
  EXPECT_EQ(out, (std::vector<float>{2, 3, 0, 0}));
}

TEST(Product, BlockSizeMustDivideColumns) {
  std::vector<float> matrix(20), centroids(3);
  std::vector<uint16_t> codes(6);
  EXPECT_THROW(assign_blocks(matrix, 2, 10, 3, centroids, 1, codes, base::SerialFor()), Error);
}

}  // namespace
}  // namespace quantnoise::codec
