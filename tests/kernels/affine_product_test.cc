// Products with affine codes: every set gives the bits of the portable one, whatever the width, the size and
// the place of the codes; and the portable one keeps its bounds.

#include "quantnoise/kernels/affine_product.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <string>

#include "lookup_fixture.h"

namespace quantnoise::kernels {
namespace {

const AffineProductKernels& product_set(std::string_view name) {
#if defined(__x86_64__)
  if (name == "avx512vnni") return kAffineProductAvx512Vnni;
  if (name == "avx512") return kAffineProductAvx512;
  if (name == "avx2") return kAffineProductAvx2;
#endif
  return kAffineProductPortable;
}

template <typename T>
struct Aligned {
  explicit Aligned(int64_t count)
      : data(
            static_cast<T*>(std::aligned_alloc(64, (static_cast<size_t>(count) * sizeof(T) + 127) / 64 * 64)),
            &std::free) {}
  std::unique_ptr<T, decltype(&std::free)> data;
};

/// Rows of random codes that end exactly where the buffer ends, so that reading further is seen by
/// sanitizers.
struct Problem {
  Problem(int bits, int64_t rows, int64_t cols) : bits(bits), rows(rows), cols(cols) {
    base::SequentialRandom random(static_cast<uint64_t>(bits * 1000 + cols));
    row_bytes = (cols * bits + 7) / 8;
    bytes.resize(static_cast<size_t>(1 + rows * row_bytes));
    for (int64_t r = 0; r < rows; ++r) {
      std::vector<uint16_t> row(static_cast<size_t>(cols));
      for (uint16_t& code : row) code = static_cast<uint16_t>(random.below(uint64_t{1} << bits));
      uint8_t* packed = bytes.data() + 1 + r * row_bytes;
      for (int64_t bit = 0; bit < cols * bits; ++bit) {
        const int set = row[static_cast<size_t>(bit / bits)] >> (bit % bits) & 1;
        packed[bit / 8] = static_cast<uint8_t>(packed[bit / 8] | set << (bit % 8));
      }
      codes.insert(codes.end(), row.begin(), row.end());
    }
  }

  AffineRows view() const { return {bytes.data() + 1, row_bytes, rows}; }

  int bits;
  int64_t rows, cols, row_bytes = 0;
  std::vector<uint8_t> bytes;
  std::vector<uint16_t> codes;
};

struct Input {
  Input(int bits, int64_t cols, bool precise)
      : steps(AffineSteps::of(bits, cols)),
        integers(steps.num_steps * steps.parts * 128),
        offsets(steps.num_steps * kAffineLanes),
        factors(steps.num_steps * kAffineLanes) {
    view = {steps, false, precise, integers.data.get(), offsets.data.get(), factors.data.get()};
  }

  AffineSteps steps;
  Aligned<uint8_t> integers;
  Aligned<int32_t> offsets;
  Aligned<float> factors;
  AffineInput view;
};

std::vector<float> products(const AffineProductKernels& set, const Problem& problem,
                            const std::vector<float>& x, bool precise) {
  Input input(problem.bits, problem.cols, precise);
  EXPECT_TRUE(set.quantize(x.data(), problem.cols, input.view));
  std::vector<float> y(static_cast<size_t>(problem.rows));
  set.multiply(input.view, problem.view(), y.data());
  return y;
}

std::vector<double> exact(const Problem& problem, const std::vector<float>& x) {
  std::vector<double> y(static_cast<size_t>(problem.rows));
  for (int64_t r = 0; r < problem.rows; ++r) {
    for (int64_t c = 0; c < problem.cols; ++c) {
      const int code = problem.codes[static_cast<size_t>(r * problem.cols + c)];
      y[static_cast<size_t>(r)] += (code - (1 << (problem.bits - 1))) * double{x[static_cast<size_t>(c)]};
    }
  }
  return y;
}

double relative_squared_error(const std::vector<float>& y, const std::vector<double>& expected) {
  double error = 0, norm = 0;
  for (size_t i = 0; i < y.size(); ++i) {
    error += (y[i] - expected[i]) * (y[i] - expected[i]);
    norm += expected[i] * expected[i];
  }
  return error / norm;
}

/// Gaussian; some elements a hundred times larger; half of them zero.
std::vector<float> input_of(const std::string& kind, int64_t cols) {
  std::vector<float> x = gaussian_values(cols, 7);
  for (int64_t i = 0; i < cols; ++i) {
    float& value = x[static_cast<size_t>(i)];
    if (kind == "outliers" && i % 97 == 5) value *= 100;
    if (kind == "relu" && value < 0) value = 0;
  }
  return x;
}

class AffineProduct : public ::testing::TestWithParam<const InstructionSet*> {
 protected:
  const AffineProductKernels& set() const { return product_set(GetParam()->name); }
};

TEST_P(AffineProduct, EqualsPortableToTheBit) {
  for (int bits = 2; bits <= 8; ++bits) {
    for (const int64_t cols : {1, 7, 8, 63, 64, 65, 100, 127, 128, 200, 255, 256, 320, 511, 513, 1000}) {
      for (const bool precise : {true, false}) {
        const Problem problem(bits, 11, cols);
        const std::vector<float> x = input_of("outliers", cols);
        EXPECT_EQ(products(set(), problem, x, precise), products(kAffineProductPortable, problem, x, precise))
            << bits << " bits, " << cols << " columns, precise " << precise;
      }
    }
  }
}

TEST_P(AffineProduct, QuantizesAsPortableDoes) {
  for (const int bits : {2, 3, 4, 8}) {
    const int64_t cols = 777;
    const std::vector<float> x = input_of("outliers", cols);
    Input ours(bits, cols, true), expected(bits, cols, true);
    ASSERT_TRUE(set().quantize(x.data(), cols, ours.view));
    ASSERT_TRUE(kAffineProductPortable.quantize(x.data(), cols, expected.view));
    for (int64_t i = 0; i < ours.steps.num_steps * kAffineLanes; ++i) {
      EXPECT_EQ(ours.view.offsets[i], expected.view.offsets[i]) << bits << " bits, lane " << i;
      EXPECT_EQ(ours.view.factors[i], expected.view.factors[i]) << bits << " bits, lane " << i;
    }
    EXPECT_EQ(affine_input_sum(ours.view), affine_input_sum(expected.view));
  }
}

TEST_P(AffineProduct, KeepsItsBounds) {
  for (int bits = 2; bits <= 8; ++bits) {
    const Problem problem(bits, 64, 1024);
    for (const std::string kind : {"gaussian", "outliers", "relu"}) {
      const std::vector<float> x = input_of(kind, problem.cols);
      const std::vector<double> expected = exact(problem, x);
      EXPECT_LE(relative_squared_error(products(set(), problem, x, true), expected), 1e-8) << kind << bits;
      EXPECT_LE(relative_squared_error(products(set(), problem, x, false), expected), 2e-4) << kind << bits;
    }
  }
}

// Products of bytes that are added in twos must not saturate.
TEST_P(AffineProduct, LargestCodesAndInputsDoNotSaturate) {
  Problem problem(8, 4, 256);
  std::fill(problem.bytes.begin(), problem.bytes.end(), uint8_t{255});
  for (const float value : {3.0f, -3.0f}) {
    const std::vector<float> x(256, value);
    for (const bool precise : {true, false}) {
      for (const float y : products(set(), problem, x, precise)) EXPECT_NEAR(y, 127 * 256 * value, 0.1);
    }
  }
}

TEST_P(AffineProduct, RefusesInputsOutOfItsRange) {
  Input input(8, 100, true);
  std::vector<float> x(100, 1.0f);
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), 2e30f}) {
    x[99] = bad;
    EXPECT_FALSE(set().quantize(x.data(), 100, input.view)) << bad;
  }
  std::fill(x.begin(), x.end(), 1e-35f);
  EXPECT_FALSE(set().quantize(x.data(), 100, input.view));
  std::fill(x.begin(), x.end(), 0.0f);
  EXPECT_TRUE(set().quantize(x.data(), 100, input.view));
}

TEST_P(AffineProduct, UnpacksEveryWidth) {
  for (int bits = 2; bits <= 8; ++bits) {
    for (const int64_t cols : {1, 8, 31, 64, 65, 129, 1000}) {
      const Problem problem(bits, 1, cols);
      std::vector<uint8_t> out(static_cast<size_t>(cols) + 1, 99);
      set().unpack(problem.view().codes, bits, cols, out.data());
      for (int64_t i = 0; i < cols; ++i)
        ASSERT_EQ(out[static_cast<size_t>(i)], problem.codes[static_cast<size_t>(i)]) << bits << " " << cols;
      EXPECT_EQ(out.back(), 99);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, AffineProduct, ::testing::ValuesIn(available_instruction_sets()),
                         [](const auto& info) { return std::string(info.param->name); });

}  // namespace
}  // namespace quantnoise::kernels
