// Affine and dense matrices against exact products of the decoded weight: every width and type, zero points
// by tensor and by any axis, odd sizes, bytes at odd addresses, any number of threads.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "quantnoise/base/error.h"
#include "quantnoise/base/random.h"
#include "quantnoise/codec/affine.h"
#include "quantnoise/runtime/matrix.h"

namespace quantnoise::runtime {
namespace {

using ::testing::HasSubstr;

constexpr Arithmetic kArithmetics[] = {Arithmetic::kPrecise, Arithmetic::kFast};
constexpr Method kMethods[] = {Method::kAuto, Method::kLookup, Method::kDecode};

double bound_of(Arithmetic arithmetic) { return arithmetic == Arithmetic::kPrecise ? 1e-8 : 2e-4; }

std::vector<float> gaussian_values(int64_t count, uint64_t seed, bool rough = false) {
  base::SequentialRandom random(seed);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) {
    const double radius = std::sqrt(-2 * std::log1p(-static_cast<double>(random.uniform())));
    value = static_cast<float>(radius * std::cos(6.283185307179586 * random.uniform()));
    if (rough && value < 0) value = 0;
    if (rough && random.below(100) == 0) value *= 60;
  }
  return values;
}

/// The bytes of a block moved to an odd address.
codec::ByteBlock moved(const codec::ByteBlock& block) {
  auto storage = std::make_shared<std::vector<std::byte>>(block.bytes.size() + 1);
  std::copy(block.bytes.begin(), block.bytes.end(), storage->begin() + 1);
  return {{storage->data() + 1, block.bytes.size()}, storage};
}

enum class Zeros { kMiddle, kAnywhere };

codec::PackedWeight affine_weight(int bits, std::vector<int64_t> shape, int axis, Zeros zeros,
                                  int64_t zero_row = -1) {
  base::SequentialRandom random(static_cast<uint64_t>(bits));
  codec::AffineGrid grid{bits, axis, {}, {}};
  const int64_t channels = axis < 0 ? 1 : shape[static_cast<size_t>(axis)];
  for (int64_t c = 0; c < channels; ++c) {
    grid.scales.push_back(0.01f + 0.02f * random.uniform());
    grid.zero_points.push_back(zeros == Zeros::kMiddle ? 1 << (bits - 1)
                                                       : static_cast<int32_t>(random.below(1u << bits)));
  }
  int64_t numel = 1;
  for (const int64_t size : shape) numel *= size;
  std::vector<uint8_t> codes(static_cast<size_t>(numel));
  for (uint8_t& code : codes) code = static_cast<uint8_t>(random.below(1u << bits));
  codec::PackedWeight weight = codec::pack_affine(codes, std::move(shape), grid, zero_row);
  weight.codes = moved(weight.codes);
  return weight;
}

codec::PackedWeight dense_weight(codec::ScalarType type, std::vector<int64_t> shape) {
  codec::PackedWeight weight = codec::pack_dense(gaussian_values(shape[0] * shape[1], 5), shape, type);
  weight.dense = moved(weight.dense);
  return weight;
}

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

std::vector<float> product(const Matrix& matrix, const std::vector<float>& x, int64_t n,
                           const std::vector<float>& bias, const MultiplyOptions& options) {
  std::vector<float> y(static_cast<size_t>(n * matrix.rows()), std::numeric_limits<float>::quiet_NaN());
  matrix.multiply(x, n, bias, y, options);
  return y;
}

/// Every arithmetic and method keeps its bound.
void expect_products(const codec::PackedWeight& weight, const std::vector<float>& x, int64_t n,
                     const std::string& what) {
  const auto matrix = make_matrix(weight);
  const std::vector<float> bias = gaussian_values(weight.rows(), 9);
  const std::vector<double> exact = exact_product(weight, x, n, bias);
  for (const Arithmetic arithmetic : kArithmetics) {
    for (const Method method : kMethods) {
      EXPECT_LE(relative_squared_error(product(*matrix, x, n, bias, {arithmetic, method}), exact),
                bound_of(arithmetic))
          << what << ", " << matrix->kernel_name(n, arithmetic);
    }
  }
}

TEST(AffineMatrix, EveryWidthAndSize) {
  for (int bits = 2; bits <= 8; ++bits) {
    for (const int64_t cols : {24, 63, 64, 130, 333, 512}) {
      for (const int64_t n : {1, 3, 30}) {
        expect_products(affine_weight(bits, {70, cols}, -1, Zeros::kMiddle), gaussian_values(n * cols, 3), n,
                        str_cat(bits, " bits, ", cols, " columns, ", n, " rows of x"));
      }
    }
  }
}

TEST(AffineMatrix, ZeroPointsByTensorAndByAxis) {
  for (const int bits : {2, 4, 5, 8}) {
    for (const int axis : {-1, 0, 1, 2}) {
      for (const bool rough : {false, true}) {
        expect_products(affine_weight(bits, {65, 12, 20}, axis, Zeros::kAnywhere),
                        gaussian_values(2 * 240, 4, rough), 2, str_cat(bits, " bits, axis ", axis));
      }
    }
  }
}

TEST(AffineMatrix, InputsThatAreNotFiniteStaySo) {
  const auto matrix = make_matrix(affine_weight(8, {70, 100}, 0, Zeros::kMiddle));
  std::vector<float> x(300, 1.0f);
  x[150] = std::numeric_limits<float>::quiet_NaN();
  const std::vector<float> y = product(*matrix, x, 3, {}, {});
  for (size_t r = 0; r < 70; ++r) {
    EXPECT_TRUE(std::isfinite(y[r]));
    EXPECT_TRUE(std::isnan(y[70 + r]));
    EXPECT_TRUE(std::isfinite(y[140 + r]));
  }
}

TEST(AffineMatrix, TinyAndHugeInputsAreMultipliedAsFloats) {
  const codec::PackedWeight weight = affine_weight(4, {70, 100}, 0, Zeros::kMiddle);
  for (const float factor : {1e-33f, 1e32f}) {
    std::vector<float> x = gaussian_values(100, 6);
    for (float& value : x) value *= factor;
    EXPECT_LE(
        relative_squared_error(product(*make_matrix(weight), x, 1, {}, {}), exact_product(weight, x, 1, {})),
        1e-8);
  }
}

TEST(AffineMatrix, ZeroRowIsZero) {
  const auto matrix = make_matrix(affine_weight(8, {70, 64}, 0, Zeros::kAnywhere, 3));
  const std::vector<float> x = gaussian_values(64, 6), bias(70, 2.0f);
  for (const Method method : kMethods)
    EXPECT_EQ(product(*matrix, x, 1, bias, {Arithmetic::kPrecise, method})[3], 2);
}

TEST(AffineMatrix, BytesStayWhereTheyAreWhenRowsBeginAtWholeBytes) {
  EXPECT_LT(make_matrix(affine_weight(3, {64, 1000}, -1, Zeros::kMiddle))->owned_bytes(), 1000);
  EXPECT_GT(make_matrix(affine_weight(3, {64, 1001}, -1, Zeros::kMiddle))->owned_bytes(), 24000);
}

TEST(AffineMatrix, RefusesWhatDoesNotFit) {
  codec::PackedWeight weight = affine_weight(8, {70, 64}, 0, Zeros::kMiddle);
  weight.codes.bytes = weight.codes.bytes.first(100);
  try {
    make_matrix(weight);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("codes: found 100 bytes, expected 4480"));
  }
}

TEST(DenseMatrix, EveryTypeAndSize) {
  for (const auto type : {codec::ScalarType::kF32, codec::ScalarType::kF16, codec::ScalarType::kBF16}) {
    for (const int64_t cols : {1, 5, 31, 64, 257, 600}) {
      for (const int64_t n : {1, 2, 7, 40}) {
        expect_products(dense_weight(type, {67, cols}), gaussian_values(n * cols, 3), n,
                        str_cat(cols, " columns, ", n, " rows of x"));
      }
    }
  }
}

// The largest and smallest numbers of a type, infinity, and NaN come out as they are.
TEST(DenseMatrix, HalvesAreReadExactly) {
  codec::PackedWeight weight;
  weight.shape = {65536 / 64, 64};
  weight.dense_type = codec::ScalarType::kF16;
  std::vector<std::byte> bytes;
  for (int i = 0; i < 65536; ++i) {
    bytes.push_back(static_cast<std::byte>(i));
    bytes.push_back(static_cast<std::byte>(i >> 8));
  }
  weight.dense = codec::ByteBlock::own(std::move(bytes));
  const std::vector<float> expected = codec::unpack_to_float(weight);
  const auto matrix = make_matrix(weight);
  for (int64_t col = 0; col < 64; ++col) {
    std::vector<float> x(64);
    x[static_cast<size_t>(col)] = 1;
    const std::vector<float> y = product(*matrix, x, 1, {}, {});
    for (int64_t row = 0; row < 1024; ++row) {
      const float value = expected[static_cast<size_t>(row * 64 + col)];
      const bool whole_row_finite = (row * 64 & 0x7fff) < 0x7c00;
      if (whole_row_finite) {
        EXPECT_EQ(y[static_cast<size_t>(row)], value);
      } else {
        EXPECT_FALSE(std::isfinite(y[static_cast<size_t>(row)]));
      }
    }
  }
}

/// Activations that are codes, each row with a grid of its own.
struct Coded {
  Coded(int64_t n, int64_t cols) {
    base::SequentialRandom random(static_cast<uint64_t>(n));
    for (int64_t i = 0; i < n * cols; ++i) codes.push_back(static_cast<uint8_t>(random.below(256)));
    for (int64_t i = 0; i < n; ++i) {
      scales.push_back(0.01f + 0.01f * random.uniform());
      zero_points.push_back(static_cast<int32_t>(random.below(256)));
    }
    rows = {codes, n, scales, zero_points};
    for (int64_t i = 0; i < n * cols; ++i)
      values.push_back(rows.scale(i / cols) *
                       static_cast<float>(codes[static_cast<size_t>(i)] - rows.zero_point(i / cols)));
  }

  std::vector<uint8_t> codes;
  std::vector<float> scales, values;
  std::vector<int32_t> zero_points;
  CodedRows rows;
};

codec::PackedWeight byte_centroids(int block_size, int64_t rows, int64_t blocks) {
  base::SequentialRandom random(11);
  codec::ProductMatrix matrix{rows, blocks * block_size, block_size, 256, {}, {}};
  matrix.centroids.resize(static_cast<size_t>(256 * block_size), 0.0f);
  for (int64_t i = 0; i < rows * blocks; ++i)
    matrix.codes.push_back(static_cast<uint16_t>(random.below(256)));
  codec::PackedWeight weight = codec::pack_product(matrix, {rows, blocks * block_size});
  std::vector<std::byte> centroids(static_cast<size_t>(256 * block_size));
  for (std::byte& value : centroids) value = static_cast<std::byte>(random.below(256));
  weight.centroid_type = codec::ScalarType::kI8;
  weight.centroid_scale = 0.03f;
  weight.centroids = codec::ByteBlock::own(std::move(centroids));
  return weight;
}

// Integer products are exact: what is left is the rounding of the result and of its scales. Scales by column
// leave no integers, and few rows of product codes go through tables.
TEST(CodedActivations, AreMultipliedExactly) {
  const std::vector<codec::PackedWeight> weights = {affine_weight(8, {130, 333}, 0, Zeros::kAnywhere),
                                                    affine_weight(8, {70, 1100}, -1, Zeros::kAnywhere),
                                                    affine_weight(4, {130, 512}, 0, Zeros::kAnywhere),
                                                    affine_weight(3, {130, 200}, 0, Zeros::kMiddle, 5),
                                                    byte_centroids(8, 130, 40),
                                                    byte_centroids(4, 64, 50),
                                                    dense_weight(codec::ScalarType::kF16, {130, 77}),
                                                    affine_weight(8, {130, 64}, 1, Zeros::kAnywhere)};
  for (const codec::PackedWeight& weight : weights) {
    const auto matrix = make_matrix(weight);
    const std::vector<float> bias = gaussian_values(weight.rows(), 9);
    for (const int64_t n : {1, 9, 40}) {
      const Coded x(n, weight.cols());
      const bool in_integers = weight.scheme == codec::Scheme::kAffine
                                   ? weight.affine_axis != 1
                                   : weight.scheme == codec::Scheme::kProduct && n > 4;
      const std::vector<double> exact = exact_product(weight, x.values, n, bias);
      std::vector<float> first;
      for (const int threads : {1, 2, 3, 8}) {
        const base::ThreadPool pool(threads);
        std::vector<float> y(static_cast<size_t>(n * weight.rows()));
        matrix->multiply_codes(x.rows, bias, y, {Arithmetic::kPrecise, Method::kAuto, &pool});
        EXPECT_LE(relative_squared_error(y, exact), in_integers ? 1e-11 : 1e-8)
            << weight.cols() << " columns, " << n << " rows of x";
        if (first.empty()) first = y;
        EXPECT_EQ(y, first) << threads << " threads";
      }
    }
  }
}

TEST(PlainMatrices, AnyNumberOfThreadsGivesTheSameBits) {
  const std::vector<codec::PackedWeight> weights = {
      affine_weight(8, {300, 333}, 0, Zeros::kAnywhere), affine_weight(4, {300, 512}, -1, Zeros::kAnywhere),
      affine_weight(3, {300, 333}, 1, Zeros::kAnywhere), dense_weight(codec::ScalarType::kF32, {300, 333}),
      dense_weight(codec::ScalarType::kBF16, {300, 333})};
  for (const codec::PackedWeight& weight : weights) {
    const auto matrix = make_matrix(weight);
    for (const int64_t n : {1, 5, 40}) {
      const std::vector<float> x = gaussian_values(n * weight.cols(), 8);
      for (const Arithmetic arithmetic : kArithmetics) {
        const std::vector<float> expected = product(*matrix, x, n, {}, {arithmetic});
        for (const int threads : {1, 2, 3, 8}) {
          const base::ThreadPool pool(threads);
          Workspace workspace;
          const MultiplyOptions options{arithmetic, Method::kAuto, &pool, &workspace};
          EXPECT_EQ(product(*matrix, x, n, {}, options), expected) << threads << " threads";
          EXPECT_EQ(product(*matrix, x, n, {}, options), expected) << "workspace used again";
        }
      }
    }
  }
}

}  // namespace
}  // namespace quantnoise::runtime
