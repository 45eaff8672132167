#include "quantnoise/runtime/product_matrix.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "quantnoise/base/error.h"
#include "quantnoise/base/random.h"
#include "quantnoise/codec/half.h"

namespace quantnoise::runtime {
namespace {

using ::testing::HasSubstr;

constexpr Arithmetic kArithmetics[] = {Arithmetic::kPrecise, Arithmetic::kFast};
constexpr Method kMethods[] = {Method::kLookup, Method::kDecode};

double bound_of(Arithmetic arithmetic) { return arithmetic == Arithmetic::kPrecise ? 1e-8 : 2e-4; }

enum class Input { kGaussian, kOutliers, kHalfZero };

std::vector<float> values_of(Input kind, int64_t count, uint64_t seed) {
  base::SequentialRandom random(seed);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) {
    const double radius = std::sqrt(-2 * std::log1p(-static_cast<double>(random.uniform())));
    value = static_cast<float>(radius * std::cos(6.283185307179586 * random.uniform()));
    if (kind == Input::kHalfZero) value = std::max(value, 0.0f);
    if (kind == Input::kOutliers && random.below(200) == 0) value *= 60;
  }
  return values;
}

codec::PackedWeight random_weight(int64_t rows, int64_t cols, int block_size, int num_centroids,
                                  int tile_rows = 64) {
  codec::ProductMatrix matrix{rows, cols, block_size, num_centroids, {}, {}};
  matrix.centroids = values_of(Input::kGaussian, int64_t{num_centroids} * block_size, 1);
  base::SequentialRandom random(2);
  for (int64_t i = 0; i < rows * cols / block_size; ++i)
    matrix.codes.push_back(static_cast<uint16_t>(random.below(static_cast<uint64_t>(num_centroids))));
  return codec::pack_product(matrix, {rows, cols}, {tile_rows});
}

/// x Wᵀ + bias in double precision from the decoded weight.
std::vector<double> exact_product(const codec::PackedWeight& weight, const std::vector<float>& x, int64_t n,
                                  const std::vector<float>& bias) {
  const std::vector<float> dense = codec::unpack_to_float(weight);
  const int64_t rows = weight.rows(), cols = weight.cols();
  std::vector<double> y;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t r = 0; r < rows; ++r) {
      double sum = bias.empty() ? 0 : bias[static_cast<size_t>(r)];
      for (int64_t j = 0; j < cols; ++j)
        sum += double{dense[static_cast<size_t>(r * cols + j)]} * x[static_cast<size_t>(i * cols + j)];
      y.push_back(sum);
    }
  }
  return y;
}

double relative_squared_error(const std::vector<float>& y, const std::vector<double>& exact) {
  double error = 0, total = 0;
  for (size_t i = 0; i < exact.size(); ++i) {
    error += (double{y[i]} - exact[i]) * (double{y[i]} - exact[i]);
    total += exact[i] * exact[i];
  }
  return total > 0 ? error / total : error;
}

std::vector<float> product(const ProductMatrix& matrix, const std::vector<float>& x, int64_t n,
                           const std::vector<float>& bias, const MultiplyOptions& options) {
  std::vector<float> y(static_cast<size_t>(n * matrix.rows()), std::numeric_limits<float>::quiet_NaN());
  matrix.multiply(x, n, bias, y, options);
  return y;
}

TEST(ProductMatrix, AllBlockAndCodebookSizesAndBothMethods) {
  for (const int block_size : {1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16}) {
    for (const int num_centroids : {1, 2, 5, 8, 13, 16, 17, 100, 256, 257, 3000, 65536}) {
      if (num_centroids == 65536 && block_size % 4 != 0) continue;
      const codec::PackedWeight weight =
          random_weight(130, int64_t{20} * block_size, block_size, num_centroids);
      const ProductMatrix matrix(weight);
      const std::vector<float> x = values_of(Input::kGaussian, 3 * matrix.cols(), 3);
      const std::vector<double> exact = exact_product(weight, x, 3, {});
      for (const Arithmetic arithmetic : kArithmetics) {
        for (const Method method : kMethods) {
          const std::vector<float> y = product(matrix, x, 3, {}, {arithmetic, method});
          EXPECT_LE(relative_squared_error(y, exact), bound_of(arithmetic))
              << num_centroids << " centroids of " << block_size;
        }
      }
    }
  }
}

TEST(ProductMatrix, AnyRowsAndTiles) {
  for (const int64_t rows : {1, 63, 64, 65, 127, 128, 129, 300, 1100}) {
    for (const int tile_rows : {64, 128, 512}) {
      for (const int num_centroids : {16, 256, 400}) {
        const codec::PackedWeight weight = random_weight(rows, 24, 8, num_centroids, tile_rows);
        const ProductMatrix matrix(weight);
        const std::vector<float> x = values_of(Input::kGaussian, 24, 4);
        const std::vector<double> exact = exact_product(weight, x, 1, {});
        for (const Method method : kMethods) {
          // A single output may be small by chance: its error is not an average.
          EXPECT_LE(relative_squared_error(product(matrix, x, 1, {}, {Arithmetic::kPrecise, method}), exact),
                    rows == 1 ? 1e-6 : 1e-8)
              << rows << " rows, tiles of " << tile_rows;
        }
      }
    }
  }
}

TEST(ProductMatrix, ErrorBoundsOnInputsOfEveryKind) {
  for (const int num_centroids : {16, 256}) {
    for (const int block_size : {4, 8}) {
      const codec::PackedWeight weight = random_weight(256, 2048, block_size, num_centroids);
      const ProductMatrix matrix(weight);
      for (const Input kind : {Input::kGaussian, Input::kOutliers, Input::kHalfZero}) {
        const std::vector<float> x = values_of(kind, 2048, 5);
        const std::vector<double> exact = exact_product(weight, x, 1, {});
        for (const Arithmetic arithmetic : kArithmetics) {
          const std::vector<float> y = product(matrix, x, 1, {}, {arithmetic, Method::kLookup});
          EXPECT_LE(relative_squared_error(y, exact), bound_of(arithmetic));
          if (arithmetic == Arithmetic::kFast) {
            EXPECT_GT(relative_squared_error(y, exact), 1e-7) << "that would not be 8 bits";
          }
        }
      }
    }
  }
}

TEST(ProductMatrix, AnyNumberOfRowsOfXWithBias) {
  const codec::PackedWeight weight = random_weight(200, 96, 8, 256);
  const ProductMatrix matrix(weight);
  const std::vector<float> bias = values_of(Input::kGaussian, 200, 6);
  Workspace workspace;
  for (int64_t n = 1; n <= 40; ++n) {
    const std::vector<float> x = values_of(Input::kGaussian, n * 96, 7);
    const std::vector<double> exact = exact_product(weight, x, n, bias);
    for (const Arithmetic arithmetic : kArithmetics) {
      for (const Method method : {Method::kAuto, Method::kLookup, Method::kDecode}) {
        const std::vector<float> y = product(matrix, x, n, bias, {arithmetic, method, nullptr, &workspace});
        EXPECT_LE(relative_squared_error(y, exact), bound_of(arithmetic)) << n;
      }
    }
  }
}

TEST(ProductMatrix, SameBitsForAnyNumberOfThreads) {
  for (const int num_centroids : {16, 256, 1000}) {
    const ProductMatrix matrix(random_weight(1000, 512, 8, num_centroids));
    for (const int64_t n : {1, 6}) {
      const std::vector<float> x = values_of(Input::kOutliers, n * 512, 8);
      for (const Arithmetic arithmetic : kArithmetics) {
        for (const Method method : kMethods) {
          const std::vector<float> one = product(matrix, x, n, {}, {arithmetic, method});
          for (const int threads : {1, 2, 3, 8}) {
            const base::ThreadPool pool(threads);
            EXPECT_EQ(product(matrix, x, n, {}, {arithmetic, method, &pool}), one);
          }
        }
      }
    }
  }
}

TEST(ProductMatrix, LookedUpRowsDoNotDependOnTheirNeighbours) {
  const ProductMatrix matrix(random_weight(130, 64, 8, 256));
  const std::vector<float> x = values_of(Input::kGaussian, 7 * 64, 9);
  const std::vector<float> all = product(matrix, x, 7, {}, {Arithmetic::kFast, Method::kLookup});
  for (int64_t i = 0; i < 7; ++i) {
    const std::vector<float> row(x.begin() + i * 64, x.begin() + (i + 1) * 64);
    const std::vector<float> y = product(matrix, row, 1, {}, {Arithmetic::kFast, Method::kLookup});
    EXPECT_TRUE(std::equal(y.begin(), y.end(), all.begin() + i * 130));
  }
}

TEST(ProductMatrix, TablesServeAllMatricesOfTheirCodebook) {
  const codec::PackedWeight first = random_weight(100, 64, 8, 256);
  const ProductMatrix a(first), b(random_weight(70, 64, 8, 256), a.codebook());
  const std::vector<float> x = values_of(Input::kGaussian, 64, 10),
                           bias = values_of(Input::kGaussian, 70, 11);
  for (const Arithmetic arithmetic : kArithmetics) {
    const MultiplyOptions options{arithmetic, Method::kLookup};
    ProductTables tables;
    tables.build(a.codebook(), x, options);
    std::vector<float> y_a(100), y_b(70);
    a.multiply(tables, {}, y_a, options);
    b.multiply(tables, bias, y_b, options);
    EXPECT_EQ(y_a, product(a, x, 1, {}, options));
    EXPECT_EQ(y_b, product(b, x, 1, bias, options));
  }
}

TEST(ProductMatrix, ProductsWithOneInputNumberShareWhatIsMadeOfIt) {
  const ProductMatrix fours(random_weight(130, 96, 4, 200)), eights(random_weight(70, 96, 8, 256));
  const ProductMatrix large(random_weight(64, 96, 8, 300));
  for (const Input kind : {Input::kGaussian, Input::kOutliers, Input::kHalfZero}) {
    for (const int64_t n : {1, 4, 9}) {
      const std::vector<float> x = values_of(kind, n * 96, 11), other = values_of(kind, n * 96, 12);
      Workspace workspace;
      uint64_t last_number = 0;
      const auto expect_same = [&](const ProductMatrix& matrix, const std::vector<float>& input,
                                   uint64_t number) {
        std::vector<float> y(static_cast<size_t>(n * matrix.rows())), expected = y;
        MultiplyOptions options;
        options.method = Method::kLookup;
        matrix.multiply(input, n, {}, expected, options);
        options.workspace = &workspace;
        options.input_number = number;
        matrix.multiply(input, n, {}, y, options);
        EXPECT_EQ(y, expected) << n << " rows";
      };
      for (const auto* input : {&x, &other}) {
        const uint64_t number = ++last_number;
        for (const ProductMatrix* matrix : {&fours, &fours, &eights, &fours, &large, &eights, &eights})
          expect_same(*matrix, *input, number);
        expect_same(fours, *input == x ? other : x, 0);
        expect_same(fours, *input, ++last_number);
      }
    }
  }
}

TEST(ProductMatrix, ForeignTablesAreABugOfTheCaller) {
  const ProductMatrix a(random_weight(100, 64, 8, 256)), b(random_weight(100, 64, 8, 16));
  ProductTables tables;
  tables.build(a.codebook(), values_of(Input::kGaussian, 64, 10), {});
  std::vector<float> y(100);
  EXPECT_THROW(b.multiply(tables, {}, y, {}), Error);
}

TEST(ProductMatrix, TheZeroRowGivesItsBias) {
  codec::PackedWeight weight = random_weight(70, 32, 8, 256);
  weight.zero_row = 1;
  const ProductMatrix matrix(weight);
  const std::vector<float> x = values_of(Input::kGaussian, 64, 12), bias(70, 0.5f);
  for (const Method method : kMethods) {
    const std::vector<float> y = product(matrix, x, 2, bias, {Arithmetic::kPrecise, method});
    EXPECT_EQ(y[1], 0.5f);
    EXPECT_EQ(y[71], 0.5f);
    EXPECT_NE(y[0], 0.5f);
  }
}

TEST(ProductMatrix, ZeroInputsGiveTheBias) {
  const ProductMatrix matrix(random_weight(70, 32, 8, 256));
  const std::vector<float> bias = values_of(Input::kGaussian, 70, 13);
  for (const Arithmetic arithmetic : kArithmetics)
    EXPECT_EQ(product(matrix, std::vector<float>(32), 1, bias, {arithmetic}), bias);
}

TEST(ProductMatrix, InputsThatAreNotFiniteComeOutNotFinite) {
  const ProductMatrix matrix(random_weight(70, 32, 8, 256));
  for (const float value :
       {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    std::vector<float> x = values_of(Input::kGaussian, 64, 14);
    x[5] = value;
    for (const Arithmetic arithmetic : kArithmetics) {
      const std::vector<float> y = product(matrix, x, 2, {}, {arithmetic, Method::kLookup});
      for (size_t r = 0; r < 70; ++r) EXPECT_FALSE(std::isfinite(y[r]));
      for (size_t r = 70; r < 140; ++r) EXPECT_TRUE(std::isfinite(y[r]));
    }
  }
}

TEST(ProductMatrix, InputsOfAnySizeKeepTheBound) {
  const codec::PackedWeight weight = random_weight(70, 256, 8, 256);
  const ProductMatrix matrix(weight);
  for (const float scale : {1e-25f, 1e-12f, 1e12f, 1e25f}) {
    std::vector<float> x = values_of(Input::kGaussian, 256, 15);
    for (float& value : x) value *= scale;
    const std::vector<double> exact = exact_product(weight, x, 1, {});
    for (const Arithmetic arithmetic : kArithmetics) {
      const std::vector<float> y = product(matrix, x, 1, {}, {arithmetic, Method::kLookup});
      EXPECT_LE(relative_squared_error(y, exact), bound_of(arithmetic)) << scale;
    }
  }
}

TEST(ProductMatrix, Int8CentroidsAreScaled) {
  codec::PackedWeight weight = random_weight(100, 64, 8, 256);
  std::vector<std::byte> bytes(256 * 8);
  base::SequentialRandom random(16);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random.below(255) + 129);
  weight.centroid_type = codec::ScalarType::kI8;
  weight.centroid_scale = 0.03f;
  weight.centroids = codec::ByteBlock::own(bytes);
  const std::vector<float> x = values_of(Input::kGaussian, 64, 17);
  const std::vector<float> y = product(ProductMatrix(weight), x, 1, {}, {});
  EXPECT_LE(relative_squared_error(y, exact_product(weight, x, 1, {})), 1e-8);
}

TEST(ProductMatrix, CodesOfEightBitsAreNotCopied) {
  // Beside the centroids.
  const auto copied_bytes = [](const codec::PackedWeight& weight) {
    const ProductMatrix matrix(weight);
    EXPECT_GE(matrix.codebook()->owned_bytes(), weight.num_centroids * weight.block_size * 4);
    EXPECT_EQ(ProductMatrix(weight, matrix.codebook()).owned_bytes(),
              matrix.owned_bytes() - matrix.codebook()->owned_bytes())
        << "who made a codebook counts it";
    return matrix.owned_bytes() - matrix.codebook()->owned_bytes();
  };
  EXPECT_EQ(copied_bytes(random_weight(128, 64, 8, 256)), 0);
  EXPECT_EQ(copied_bytes(random_weight(128, 64, 8, 16)), 0);
  EXPECT_EQ(copied_bytes(random_weight(130, 64, 8, 256)), 64 * 8);  // the last tile alone
  EXPECT_EQ(copied_bytes(random_weight(128, 64, 8, 300)), 128 * 8 * 2);
}

TEST(ProductMatrix, NoRowsOfX) {
  EXPECT_TRUE(product(ProductMatrix(random_weight(3, 8, 8, 256)), {}, 0, {1, 2, 3}, {}).empty());
}

ErrorKind kind_after(const std::function<void(codec::PackedWeight&)>& damage) {
  codec::PackedWeight weight = random_weight(70, 16, 8, 200);
  damage(weight);
  try {
    const ProductMatrix matrix(weight);
  } catch (const Error& error) {
    return error.kind();
  }
  return ErrorKind::kFailed;
}

TEST(ProductMatrix, DamageIsAFormatError) {
  using Weight = codec::PackedWeight;
  EXPECT_EQ(kind_after([](Weight& w) { w.codes.bytes = w.codes.bytes.subspan(1); }), ErrorKind::kFormat);
  EXPECT_EQ(kind_after([](Weight& w) { w.centroids.bytes = w.centroids.bytes.subspan(2); }),
            ErrorKind::kFormat);
  EXPECT_EQ(kind_after([](Weight& w) { w.code_bits = 9; }), ErrorKind::kFormat);
  EXPECT_EQ(kind_after([](Weight& w) { w.order.tile_rows = 0; }), ErrorKind::kFormat);
  EXPECT_EQ(kind_after([](Weight& w) { w.order.tile_rows = 96; }), ErrorKind::kFormat);
  EXPECT_EQ(kind_after([](Weight& w) { w.block_size = 7; }), ErrorKind::kFormat);
  EXPECT_EQ(kind_after([](Weight& w) { w.zero_row = 70; }), ErrorKind::kFormat);
  EXPECT_EQ(kind_after([](Weight& w) {
              w.codes = codec::ByteBlock::own(std::vector<std::byte>(140, std::byte{255}));
            }),
            ErrorKind::kFormat);
  EXPECT_EQ(kind_after([](Weight& w) {
              std::vector<std::byte> bytes(w.centroids.bytes.begin(), w.centroids.bytes.end());
              bytes[1] = std::byte{0x7c};  // infinity
              bytes[0] = std::byte{0};
              w.centroids = codec::ByteBlock::own(bytes);
            }),
            ErrorKind::kFormat);
}

TEST(ProductMatrix, BlocksBeyondTheKernelsAreUnsupported) {
  try {
    const ProductMatrix matrix(random_weight(8, 40, 20, 16));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUnsupported);
    EXPECT_THAT(error.what(), HasSubstr("found 20"));
  }
}

}  // namespace
}  // namespace quantnoise::runtime
