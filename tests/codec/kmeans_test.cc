#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <set>
#include <vector>

#include "core/codec/block_assigner.h"
#include "core/codec/distinct_blocks.h"
#include "quantnoise/base/error.h"
#include "quantnoise/base/random.h"
#include "quantnoise/codec/product.h"

namespace quantnoise::codec {
namespace {

std::vector<float> gaussian(int64_t count, uint64_t seed) {
  base::SequentialRandom random(seed);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) {
    value = 0;
    for (int i = 0; i < 12; ++i) value += random.uniform();
    value -= 6;
  }
  return values;
}

std::vector<float> integers(int64_t count, int range, uint64_t seed) {
  base::SequentialRandom random(seed);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = static_cast<float>(random.below(static_cast<uint64_t>(range)));
  return values;
}

KMeansOptions options(int num_centroids, int iterations) {
  KMeansOptions result;
  result.num_centroids = num_centroids;
  result.iterations = iterations;
  return result;
}

double squared_error(std::span<const float> matrix, const ProductMatrix& product) {
  std::vector<float> decoded(matrix.size());
  decode(product, decoded, base::SerialFor());
  double error = 0;
  for (size_t i = 0; i < matrix.size(); ++i)
    error += (double{matrix[i]} - decoded[i]) * (double{matrix[i]} - decoded[i]);
  return error;
}

// Lloyd's algorithm as in a textbook, from the same initial centroids, in double precision.
double naive_lloyd(std::span<const float> matrix, int block_size, int num_centroids, int iterations,
                   uint64_t seed) {
  const auto size = static_cast<size_t>(block_size);
  const size_t num_blocks = matrix.size() / size;
  std::vector<double> centroids;
  for (const int64_t block : sample_distinct_blocks(matrix, block_size, num_centroids, seed)) {
    for (size_t j = 0; j < size; ++j) centroids.push_back(matrix[static_cast<size_t>(block) * size + j]);
  }
  double objective = 0;
  for (int round = 0; round <= iterations; ++round) {
    std::vector<double> sums(centroids.size());
    std::vector<double> counts(centroids.size() / size);
    objective = 0;
    for (size_t i = 0; i < num_blocks; ++i) {
      double nearest = std::numeric_limits<double>::infinity();
      size_t code = 0;
      for (size_t c = 0; c < counts.size(); ++c) {
        double distance = 0;
        for (size_t j = 0; j < size; ++j)
          distance += std::pow(matrix[i * size + j] - centroids[c * size + j], 2);
        if (distance < nearest) {
          nearest = distance;
          code = c;
        }
      }
      objective += nearest;
      counts[code] += 1;
      for (size_t j = 0; j < size; ++j) sums[code * size + j] += matrix[i * size + j];
    }
    for (size_t i = 0; i < sums.size(); ++i) {
      if (counts[i / size] > 0) centroids[i] = sums[i] / counts[i / size];
    }
  }
  return objective;
}

TEST(KMeans, ObjectiveIsThatOfNaiveLloyd) {
  const std::vector<float> matrix = gaussian(200 * 80, 3);
  KMeansReport report;
  const ProductMatrix product =
      quantize_product(matrix, 200, 80, 8, options(64, 10), base::SerialFor(), &report);
  EXPECT_NEAR(report.objective, squared_error(matrix, product), 1e-3);
  EXPECT_LE(report.objective, naive_lloyd(matrix, 8, 64, 10, 1) * (1 + 1e-6));
  EXPECT_EQ(report.iterations, 10);
}

TEST(KMeans, SameResultForAnyNumberOfThreads) {
  const std::vector<float> matrix = gaussian(1000 * 96, 4);
  const ProductMatrix serial = quantize_product(matrix, 1000, 96, 8, options(100, 8), base::SerialFor());
  for (const int num_threads : {1, 2, 3}) {
    const ProductMatrix threaded =
        quantize_product(matrix, 1000, 96, 8, options(100, 8), base::ThreadPool(num_threads));
    EXPECT_EQ(threaded.codes, serial.codes);
    EXPECT_EQ(threaded.centroids, serial.centroids);
  }
}

TEST(KMeans, PrunedCodesAreThoseOfThePlainSearchEveryRound) {
  // Integers make many exact ties; the outliers stretch the rounding margins.
  for (const bool ties : {false, true}) {
    std::vector<float> values = ties ? integers(3000 * 8, 4, 5) : gaussian(3000 * 8, 5);
    for (int j = 0; j < 16; ++j) values[static_cast<size_t>(j)] = 1000.0f + static_cast<float>(j);
    const BlockMatrix matrix{values, 3000, 8, 8};
    std::vector<float> centroids(values.begin(), values.begin() + 150 * 8);
    const base::SerialFor serial;
    const auto assigner = make_pruned_assigner(matrix, centroids, serial);
    for (int round = 0; round < 12; ++round) {
      const ClusterSums sums = assigner->assign(centroids);
      std::vector<uint16_t> expected(3000);
      assign_blocks(values, 3000, 8, 8, centroids, 150, expected, serial);
      ASSERT_TRUE(std::equal(expected.begin(), expected.end(), assigner->codes().begin())) << round;
      for (size_t i = 0; i < centroids.size(); ++i) {
        if (sums.counts[i / 8] == 0) continue;
        const double mean = sums.sums[i] / static_cast<double>(sums.counts[i / 8]);
        centroids[i] = static_cast<float>(ties ? std::round(mean) : mean);
      }
    }
  }
}

TEST(KMeans, EndsWithAnAssignment) {
  const std::vector<float> matrix = gaussian(100 * 32, 6);
  for (const int block_size : {1, 2, 4, 8, 16, 32}) {
    const ProductMatrix product =
        quantize_product(matrix, 100, 32, block_size, options(20, 3), base::SerialFor());
    std::vector<uint16_t> codes(product.codes.size());
    assign_blocks(matrix, 100, 32, block_size, product.centroids, product.num_centroids, codes,
                  base::SerialFor());
    EXPECT_EQ(codes, product.codes) << block_size;
  }
}

TEST(KMeans, ShrinksToTheDistinctBlocks) {
  std::vector<float> matrix = integers(500 * 4, 2, 7);  // at most 16 blocks of 4
  const std::set<std::vector<float>> distinct = [&] {
    std::set<std::vector<float>> blocks;
    for (size_t i = 0; i < matrix.size(); i += 4) blocks.insert({matrix.begin() + i, matrix.begin() + i + 4});
    return blocks;
  }();
  KMeansReport report;
  const ProductMatrix product =
      quantize_product(matrix, 500, 4, 4, options(256, 20), base::SerialFor(), &report);
  EXPECT_EQ(product.num_centroids, static_cast<int>(distinct.size()));
  EXPECT_EQ(report.num_centroids, product.num_centroids);
  EXPECT_EQ(report.objective, 0);
  EXPECT_LT(report.iterations, 20);
}

TEST(KMeans, EqualBlocksNeedOneCentroid) {
  for (const float value : {0.0f, 0.1f, -3.7f}) {
    const std::vector<float> matrix(64 * 1024, value);
    KMeansReport report;
    const ProductMatrix product =
        quantize_product(matrix, 64, 1024, 8, options(16, 5), base::SerialFor(), &report);
    EXPECT_EQ(product.num_centroids, 1);
    EXPECT_EQ(product.centroids, std::vector<float>(8, value));
    EXPECT_EQ(report.objective, 0);
  }
}

TEST(KMeans, SignedZerosAreOneValue) {
  std::vector<float> matrix(64, 0.0f);
  for (size_t i = 0; i < 64; i += 2) matrix[i] = -0.0f;
  EXPECT_EQ(quantize_product(matrix, 8, 8, 4, options(16, 5), base::SerialFor()).num_centroids, 1);
}

TEST(KMeans, EmptyClustersAreFilled) {
  // Most blocks are almost equal and a few lie far apart: centroids drawn from the crowd run empty.
  std::vector<float> matrix = gaussian(2000 * 4, 8);
  for (float& value : matrix) value = 1.0f + value * 1e-7f;
  for (size_t i = 0; i < 64 * 4; ++i) matrix[i * 31 % matrix.size()] = static_cast<float>(i % 37) * 10;
  KMeansReport report;
  const ProductMatrix product =
      quantize_product(matrix, 2000, 4, 4, options(64, 15), base::SerialFor(), &report);
  EXPECT_LE(report.objective, naive_lloyd(matrix, 4, 64, 15, 1) * (1 + 1e-6));
  EXPECT_GT(report.empty_clusters_split, 0);
  const ProductMatrix again = quantize_product(matrix, 2000, 4, 4, options(64, 15), base::ThreadPool(3));
  EXPECT_EQ(again.codes, product.codes);
}

TEST(KMeans, SampleFindsAGoodStart) {
  const std::vector<float> matrix = gaussian(20000 * 8, 15);
  KMeansOptions sampled = options(32, 3), random = options(32, 3);
  random.sample_iterations = 0;
  KMeansReport with_sample, without;
  const ProductMatrix serial =
      quantize_product(matrix, 20000, 8, 8, sampled, base::SerialFor(), &with_sample);
  quantize_product(matrix, 20000, 8, 8, random, base::SerialFor(), &without);
  EXPECT_LT(with_sample.objective, without.objective);
  EXPECT_EQ(with_sample.iterations, 3);
  const ProductMatrix threaded = quantize_product(matrix, 20000, 8, 8, sampled, base::ThreadPool(3));
  EXPECT_EQ(threaded.codes, serial.codes);
  EXPECT_EQ(threaded.centroids, serial.centroids);
}

TEST(KMeans, SampleWithTooFewDistinctBlocksIsNotUsed) {
  // 16 different rows among 20,000 equal ones: a sample of rows misses most of them.
  std::vector<float> matrix(20000 * 8, 0.5f);
  for (size_t i = 0; i < 16; ++i) matrix[i * 1117 * 8] = static_cast<float>(i + 1);
  KMeansReport report;
  const ProductMatrix product =
      quantize_product(matrix, 20000, 8, 8, options(32, 5), base::SerialFor(), &report);
  EXPECT_EQ(product.num_centroids, 17);
  EXPECT_EQ(report.objective, 0);
}

TEST(KMeans, ManyCentroidsAndManyGroups) {
  const std::vector<float> matrix = gaussian(300 * 64, 9);
  KMeansReport report;
  const ProductMatrix product =
      quantize_product(matrix, 300, 64, 4, options(1000, 6), base::SerialFor(), &report);
  EXPECT_EQ(product.num_centroids, 1000);
  EXPECT_LE(report.objective, naive_lloyd(matrix, 4, 1000, 6, 1) * (1 + 1e-6));
}

TEST(KMeans, EqualColumnWeightsChangeNothing) {
  const std::vector<float> matrix = gaussian(300 * 48, 10);
  const std::vector<float> weights(48, 2.0f);
  KMeansReport plain, weighted;
  KMeansOptions with_weights = options(32, 6);
  with_weights.column_weights = weights;
  const ProductMatrix a = quantize_product(matrix, 300, 48, 8, options(32, 6), base::SerialFor(), &plain);
  const ProductMatrix b = quantize_product(matrix, 300, 48, 8, with_weights, base::SerialFor(), &weighted);
  EXPECT_EQ(a.codes, b.codes);
  EXPECT_NEAR(weighted.objective, 2 * plain.objective, 1e-6 * plain.objective);
}

TEST(KMeans, ColumnWeightsLowerTheWeightedError) {
  const std::vector<float> matrix = gaussian(400 * 32, 11);
  std::vector<float> weights(32);
  for (size_t j = 0; j < 32; ++j) weights[j] = j % 4 == 0 ? 25.0f : 0.1f;
  const auto weighted_error = [&](const ProductMatrix& product) {
    std::vector<float> decoded(matrix.size());
    decode(product, decoded, base::SerialFor());
    double error = 0;
    for (size_t i = 0; i < matrix.size(); ++i)
      error += weights[i % 32] * std::pow(double{matrix[i]} - decoded[i], 2);
    return error;
  };
  KMeansOptions with_weights = options(32, 10);
  with_weights.column_weights = weights;
  KMeansReport report;
  const ProductMatrix weighted =
      quantize_product(matrix, 400, 32, 8, with_weights, base::ThreadPool(2), &report);
  const ProductMatrix plain = quantize_product(matrix, 400, 32, 8, options(32, 10), base::SerialFor());
  EXPECT_NEAR(report.objective, weighted_error(weighted), 1e-6 * report.objective);
  EXPECT_LT(weighted_error(weighted), 0.8 * weighted_error(plain));
}

TEST(KMeans, ValuesThatAreNotFiniteAreRefusedWithTheirPlace) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    std::vector<float> matrix = gaussian(10 * 16, 12);
    matrix[3 * 16 + 5] = bad;
    try {
      quantize_product(matrix, 10, 16, 8, options(4, 3), base::SerialFor());
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kNumeric);
      EXPECT_THAT(error.what(), ::testing::HasSubstr("row 3, column 5"));
    }
  }
}

TEST(KMeans, BadOptionsAreRefused) {
  const std::vector<float> matrix = gaussian(10 * 16, 13);
  const auto kind = [&](int block_size, const KMeansOptions& o) {
    try {
      quantize_product(matrix, 10, 16, block_size, o, base::SerialFor());
    } catch (const Error& error) {
      return error.kind();
    }
    return ErrorKind::kFailed;
  };
  EXPECT_EQ(kind(5, options(4, 3)), ErrorKind::kConfig);
  EXPECT_EQ(kind(0, options(4, 3)), ErrorKind::kConfig);
  EXPECT_EQ(kind(8, options(0, 3)), ErrorKind::kConfig);
  EXPECT_EQ(kind(8, options(65537, 3)), ErrorKind::kConfig);
  EXPECT_EQ(kind(8, options(4, -1)), ErrorKind::kConfig);
  const std::vector<float> short_weights(3, 1.0f), negative_weights(16, -1.0f);
  KMeansOptions weighted = options(4, 3);
  weighted.column_weights = short_weights;
  EXPECT_EQ(kind(8, weighted), ErrorKind::kConfig);
  weighted.column_weights = negative_weights;
  EXPECT_EQ(kind(8, weighted), ErrorKind::kNumeric);
}

TEST(KMeans, SeedsGiveDifferentStarts) {
  const std::vector<float> matrix = gaussian(100 * 16, 14);
  KMeansOptions a = options(16, 1), b = options(16, 1);
  b.seed = 2;
  EXPECT_NE(quantize_product(matrix, 100, 16, 8, a, base::SerialFor()).centroids,
            quantize_product(matrix, 100, 16, 8, b, base::SerialFor()).centroids);
}

}  // namespace
}  // namespace quantnoise::codec
