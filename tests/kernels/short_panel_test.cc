// Products of bf16 and byte panels: bytes to the bit, bf16 to the rounding of its sums.

#include "quantnoise/kernels/short_panel.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "lookup_fixture.h"
#include "quantnoise/codec/half.h"

namespace quantnoise::kernels {
namespace {

const BytePanelKernels& byte_set(std::string_view name) {
#if defined(__x86_64__)
  if (name == "avx512vnni") return kBytePanelAvx512Vnni;
  if (name == "avx512" || name == "avx2") return kBytePanelAvx2;
#endif
  return kBytePanelPortable;
}

class BytePanels : public ::testing::TestWithParam<const InstructionSet*> {};

TEST_P(BytePanels, EqualIntegersToTheBit) {
  for (const int64_t n : {1, 3, 6, 7, 13}) {
    for (const int64_t depth : {1, 2, 65}) {
      for (const bool extreme : {false, true}) {
        base::SequentialRandom random(static_cast<uint64_t>(n * depth));
        const int64_t x_stride = 4 * depth + 3, y_stride = kStepRows + 5;
        std::vector<uint8_t> x(static_cast<size_t>(n * x_stride));
        for (uint8_t& value : x) value = extreme ? 255 : static_cast<uint8_t>(random.below(256));
        std::vector<uint32_t> panel(static_cast<size_t>(depth * kStepRows));
        for (uint32_t& value : panel)
          value = extreme ? 0x80808080u : static_cast<uint32_t>(random.below(1ull << 32));
        std::vector<int32_t> y(static_cast<size_t>(n * y_stride), 7), expected = y;
        for (const bool accumulate : {false, true}) {
          byte_set(GetParam()->name)
              .multiply({x.data(), x_stride, n, depth, panel.data(), y.data(), y_stride, accumulate});
          for (int64_t i = 0; i < n; ++i) {
            for (int64_t column = 0; column < kStepRows; ++column) {
              int32_t& sum = expected[static_cast<size_t>(i * y_stride + column)];
              if (!accumulate) sum = 0;
              for (int64_t k = 0; k < 4 * depth; ++k) {
                const uint32_t element = panel[static_cast<size_t>(k / 4 * kStepRows + column)];
                sum += x[static_cast<size_t>(i * x_stride + k)] * static_cast<int8_t>(element >> (k % 4 * 8));
              }
            }
          }
          EXPECT_EQ(y, expected) << n << " rows, depth " << depth;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Sets, BytePanels, ::testing::ValuesIn(available_instruction_sets()),
                         [](const auto& info) { return std::string(info.param->name); });

TEST(Bf16Panels, RoundsToNearestEven) {
  const Bf16PanelKernels* kernels = bf16_panel_kernels();
  if (kernels == nullptr) GTEST_SKIP() << "no bf16 products here";
  std::vector<float> x = gaussian_values(1001, 3);
  x[0] = 1.00390625f;  // half way between two
  std::vector<uint16_t> halves(x.size() + 1, 77);
  kernels->round(x.data(), static_cast<int64_t>(x.size()), halves.data());
  for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(halves[i], codec::float_to_bf16(x[i])) << i;
  EXPECT_EQ(halves.back(), 77);
}

TEST(Bf16Panels, ProductsAreThoseOfTheRoundedNumbers) {
  const Bf16PanelKernels* kernels = bf16_panel_kernels();
  if (kernels == nullptr) GTEST_SKIP() << "no bf16 products here";
  const int64_t depth = 65;
  for (const int64_t n : {1, 5, 6, 8}) {
    std::vector<uint16_t> x, right;
    for (const float value : gaussian_values(n * 2 * depth, 1)) x.push_back(codec::float_to_bf16(value));
    for (const float value : gaussian_values(2 * depth * kStepRows, 2))
      right.push_back(codec::float_to_bf16(value));
    std::vector<uint32_t> panel(static_cast<size_t>(depth * kStepRows));
    for (size_t i = 0; i < panel.size(); ++i)
      panel[i] = right[2 * i] | static_cast<uint32_t>(right[2 * i + 1]) << 16;
    std::vector<float> y(static_cast<size_t>(n * kStepRows));
    kernels->multiply({x.data(), 2 * depth, n, depth, panel.data(), y.data(), kStepRows, false});
    for (int64_t i = 0; i < n * kStepRows; ++i) {
      double sum = 0;
      for (int64_t k = 0; k < 2 * depth; ++k) {
        const auto at = static_cast<size_t>(2 * (k / 2 * kStepRows + i % kStepRows) + k % 2);
        sum += double{codec::bf16_to_float(x[static_cast<size_t>(i / kStepRows * 2 * depth + k)])} *
               codec::bf16_to_float(right[at]);
      }
      EXPECT_NEAR(y[static_cast<size_t>(i)], sum, 1e-4);
    }
  }
}

}  // namespace
}  // namespace quantnoise::kernels
