// Passes over gradients: every set against plain loops.

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "quantnoise/kernels/gradient.h"
#include "quantnoise/kernels/instruction_set.h"
#include "sample_values.h"

namespace quantnoise::kernels {
namespace {

std::vector<const GradientKernels*> runnable_sets() {
  std::vector<const GradientKernels*> sets;
  for (const InstructionSet* table : available_instruction_sets()) {
    const std::string_view name = table->name;
    if (name == "portable") sets.push_back(&kGradientPortable);
#if defined(__x86_64__)
    if (name == "avx2") sets.push_back(&kGradientAvx2);
    if (name == "avx512") sets.push_back(&kGradientAvx512);
#endif
  }
  return sets;
}

class GradientKernelsTest : public ::testing::TestWithParam<const GradientKernels*> {};

TEST_P(GradientKernelsTest, WidensToTheBitWhereverTheRangeBegins) {
  const std::vector<uint16_t> bits = to_bf16(random_floats(300, 1));
  for (const size_t first : {0, 1, 7}) {
    for (const size_t count : {0, 1, 15, 16, 100, 293}) {
      std::vector<float> out(300, -1);
      GetParam()->widen(bits.data() + first, static_cast<int64_t>(count), out.data() + first);
      for (size_t i = 0; i < out.size(); ++i) {
        const bool inside = i >= first && i < first + count;
        ASSERT_EQ(out[i], inside ? from_bf16(bits[i]) : -1.0f) << first << " " << count << " " << i;
      }
    }
  }
}

TEST_P(GradientKernelsTest, KeepsWhatIsNotFinite) {
  std::vector<uint16_t> bits(32, 0x3f80);
  bits[3] = 0x7fc0;
  bits[20] = 0x7f80;
  std::vector<float> out(32);
  GetParam()->widen(bits.data(), 32, out.data());
  EXPECT_TRUE(std::isnan(out[3]));
  EXPECT_EQ(out[20], std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(GetParam()->square_sum(out.data(), 32)));
}

TEST_P(GradientKernelsTest, SumsSquares) {
  const std::vector<float> x = from_bf16(to_bf16(random_floats(65536, 2)));
  for (const size_t count : {0, 1, 63, 64, 65, 1000, 65536}) {
    double sum = 0;
    for (size_t i = 0; i < count; ++i) sum += double{x[i]} * double{x[i]};
    EXPECT_NEAR(GetParam()->square_sum(x.data(), static_cast<int64_t>(count)), sum, 1e-5 * sum);
  }
}

TEST_P(GradientKernelsTest, AddsRowsToTheSums) {
  for (const auto& [rows, cols] : {std::pair{1, 1}, {3, 17}, {8, 64}, {37, 100}}) {
    const std::vector<uint16_t> bits = to_bf16(random_floats(static_cast<size_t>(rows * cols), 3));
    const std::vector<float> x = from_bf16(bits);
    std::vector<float> narrow(static_cast<size_t>(cols), 1), wide = narrow;
    GetParam()->add_rows_bf16(bits.data(), rows, cols, narrow.data());
    GetParam()->add_rows_f32(x.data(), rows, cols, wide.data());
    for (int c = 0; c < cols; ++c) {
      double sum = 1;
      for (int r = 0; r < rows; ++r) sum += x[static_cast<size_t>(r * cols + c)];
      ASSERT_NEAR(narrow[static_cast<size_t>(c)], sum, 1e-4);
      ASSERT_EQ(narrow[static_cast<size_t>(c)], wide[static_cast<size_t>(c)]);
    }
  }
}

TEST_P(GradientKernelsTest, StopsTheGradientWhereReluGaveZero) {
  const int64_t rows = 5, cols = 41;
  const size_t count = static_cast<size_t>(rows * cols);
  const std::vector<uint16_t> gradient = to_bf16(random_floats(count, 4));
  std::vector<uint16_t> result = to_bf16(random_floats(count, 5));
  result[0] = 0x8000;  // −0
  result[2] = 0x7fc0;  // what is not a number stays visible
  const std::vector<float> wide_gradient = from_bf16(gradient), wide_result = from_bf16(result);
  std::vector<uint16_t> out(count);
  std::vector<float> wide = wide_gradient, sums(static_cast<size_t>(cols)), wide_sums = sums;
  GetParam()->relu_backward_bf16(gradient.data(), result.data(), rows, cols, out.data(), sums.data());
  // In place.
  GetParam()->relu_backward_f32(wide.data(), wide_result.data(), rows, cols, wide.data(), wide_sums.data());
  std::vector<double> expected(static_cast<size_t>(cols));
  for (size_t i = 0; i < count; ++i) {
    const float value = wide_result[i] <= 0 ? 0.0f : wide_gradient[i];
    ASSERT_EQ(from_bf16(out[i]), value);
    ASSERT_EQ(wide[i], value);
    expected[i % static_cast<size_t>(cols)] += value;
  }
  for (size_t c = 0; c < expected.size(); ++c) {
    EXPECT_NEAR(sums[c], expected[c], 1e-5);
    EXPECT_EQ(sums[c], wide_sums[c]);
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, GradientKernelsTest, ::testing::ValuesIn(runnable_sets()),
                         [](const auto& info) { return std::string(info.param->name); });

}  // namespace
}  // namespace quantnoise::kernels
