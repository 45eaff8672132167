// Dense rows times one vector: widening to the bit, products to the rounding of fp32.

#include "quantnoise/kernels/dense_product.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>

#include "lookup_fixture.h"

namespace quantnoise::kernels {
namespace {

const DenseProductKernels& dense_set(std::string_view name) {
#if defined(__x86_64__)
  if (name == "avx512" || name == "avx512vnni") return kDenseProductAvx512;
  if (name == "avx2") return kDenseProductAvx2;
#endif
  return kDenseProductPortable;
}

class DenseProduct : public ::testing::TestWithParam<const InstructionSet*> {
 protected:
  const DenseProductKernels& set() const { return dense_set(GetParam()->name); }
};

TEST_P(DenseProduct, WidensEverySixteenBitNumberExactly) {
  std::vector<uint16_t> all(65536 + 3);
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<uint16_t>(i);
  std::vector<float> out(all.size());
  set().widen_bf16(all.data(), static_cast<int64_t>(all.size()), out.data());
  for (size_t i = 0; i < all.size(); ++i) {
    uint32_t bits;
    std::memcpy(&bits, &out[i], 4);
    ASSERT_EQ(bits, uint32_t{all[i]} << 16);
  }
  set().widen_f16(all.data(), static_cast<int64_t>(all.size()), out.data());
  for (size_t i = 0; i < all.size(); ++i) {
    const int exponent = all[i] >> 10 & 31, mantissa = all[i] & 1023;
    const double sign = all[i] >> 15 ? -1 : 1;
    if (exponent == 31) {
      ASSERT_EQ(std::isnan(out[i]), mantissa != 0) << i;
      if (mantissa == 0) {
        ASSERT_EQ(out[i], sign * HUGE_VAL) << i;
      }
    } else {
      const double value =
          exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
      ASSERT_EQ(out[i], sign * value) << i;
    }
  }
}

template <typename Element>
void expect_products(void (*multiply)(const DenseRows<Element>&, const float*, float*) noexcept,
                     void (*widen)(const uint16_t*, int64_t, float*) noexcept) {
  for (const int64_t cols : {1, 3, 15, 16, 17, 127, 128, 129, 1000}) {
    const int64_t rows = 5;
    std::vector<Element> values(static_cast<size_t>(rows * cols) + 1);  // at an odd element
    std::vector<float> wide(values.size());
    const std::vector<float> x = gaussian_values(cols, 4);
    base::SequentialRandom random(1);
    for (size_t i = 0; i < values.size(); ++i) {
      if constexpr (std::is_same_v<Element, float>) {
        wide[i] = values[i] = 2 * random.uniform() - 1;
      } else {
        values[i] = static_cast<uint16_t>(0x3000 + random.below(0x0800) + (random.below(2) << 15));
        widen(&values[i], 1, &wide[i]);
      }
    }
    std::vector<float> y(static_cast<size_t>(rows));
    multiply({values.data() + 1, rows, cols}, x.data(), y.data());
    for (int64_t r = 0; r < rows; ++r) {
      double sum = 0, magnitude = 0;
      for (int64_t c = 0; c < cols; ++c) {
        const double term = double{wide[static_cast<size_t>(1 + r * cols + c)]} * x[static_cast<size_t>(c)];
        sum += term;
        magnitude += std::abs(term);
      }
      EXPECT_NEAR(y[static_cast<size_t>(r)], sum, 1e-6 * magnitude) << cols << " columns";
    }
  }
}

TEST_P(DenseProduct, EveryTypeAndSize) {
  expect_products<float>(set().multiply_f32, nullptr);
  expect_products<uint16_t>(set().multiply_f16, kDenseProductPortable.widen_f16);
  expect_products<uint16_t>(set().multiply_bf16, kDenseProductPortable.widen_bf16);
}

INSTANTIATE_TEST_SUITE_P(Sets, DenseProduct, ::testing::ValuesIn(available_instruction_sets()),
                         [](const auto& info) { return std::string(info.param->name); });

}  // namespace
}  // namespace quantnoise::kernels
