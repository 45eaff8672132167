// The loops of affine quantization: every set against plain formulas, to the bit, at odd sizes and from odd
// places.

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "quantnoise/base/random.h"
#include "quantnoise/kernels/affine.h"
#include "quantnoise/kernels/instruction_set.h"
#include "sample_values.h"

namespace quantnoise::kernels {
namespace {

struct AffineTables {
  const AffineCodeKernels* codes;
  const AffineValueKernels* values;
  const AffineNoiseKernels* noise;
  const AffineRangeKernels* ranges;
};

std::vector<AffineTables> runnable_tables() {
  std::vector<AffineTables> tables;
  for (const InstructionSet* table : available_instruction_sets()) {
    const std::string_view name = table->name;
    if (name == "portable")
      tables.push_back(
          {&kAffineCodePortable, &kAffineValuePortable, &kAffineNoisePortable, &kAffineRangePortable});
#if defined(__x86_64__)
    if (name == "avx2")
      tables.push_back({&kAffineCodeAvx2, &kAffineValueAvx2, &kAffineNoiseAvx2, &kAffineRangeAvx2});
    if (name == "avx512")
      tables.push_back({&kAffineCodeAvx512, &kAffineValueAvx512, &kAffineNoiseAvx512, &kAffineRangeAvx512});
#endif
  }
  return tables;
}

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr int64_t kCounts[] = {0, 1, 3, 7, 15, 16, 17, 31, 64, 100, 257, 1003};
constexpr size_t kMaxCount = 1003;

struct Grid {
  float scale;
  int32_t zero_point;
  int bits;
  int max_code() const { return (1 << bits) - 1; }
};
constexpr Grid kGrids[] = {{0.01f, 128, 8},   {0.01f, 0, 8}, {0.013f, 255, 8}, {0.3f, 2, 2},
                           {0.25f, 4, 3},     {0.11f, 7, 4}, {0.05f, 9, 5},    {0.03f, 63, 6},
                           {0x1p-126f, 3, 7}, {1e30f, 1, 2}};

// Values inside and outside of every grid, on its borders, halfway between its values, and the odd ones.
std::vector<float> sample(const Grid& grid, bool finite = true) {
  base::SequentialRandom random(3);
  std::vector<float> values(kMaxCount + 1);
  for (size_t i = 0; i < values.size(); ++i) {
    const float spread = 1.5f * static_cast<float>(grid.max_code());
    values[i] = grid.scale * spread * (2 * random.uniform() - 1);
    if (i % 5 == 1) values[i] = grid.scale * (std::floor(8 * random.uniform()) - 4 + 0.5f);
    if (i % 7 == 2)
      values[i] = grid.scale * static_cast<float>(i % 2 == 0 ? -grid.zero_point : grid.max_code());
    if (i % 31 == 3) values[i] = i % 2 == 0 ? 0.0f : -0.0f;
    if (i % 97 == 4) values[i] = i % 2 == 0 ? 3e38f : -3e38f;
    if (!finite && i % 41 == 5) values[i] = i % 2 == 0 ? kInfinity : -kInfinity;
    if (!finite && i % 43 == 6) values[i] = std::numeric_limits<float>::quiet_NaN();
  }
  return values;
}

// The definitions, one element at a time.
int code_of(const Grid& grid, float x) {
  const float inverse = 1.0f / grid.scale;
  const double multiple = std::nearbyint(static_cast<double>(x * inverse));  // rounded in fp32 before
  return static_cast<int>(
      std::fmin(std::fmax(multiple + grid.zero_point, 0.0), static_cast<double>(grid.max_code())));
}
float decoded(const Grid& grid, int code) { return static_cast<float>(code - grid.zero_point) * grid.scale; }
float value_of(const Grid& grid, float x) { return std::isnan(x) ? x : decoded(grid, code_of(grid, x)); }

// NaN for NaN, else the same bits.
void expect_same(float found, float expected, const std::string& place) {
  if (std::isnan(expected)) {
    ASSERT_TRUE(std::isnan(found)) << place;
  } else {
    ASSERT_EQ(std::bit_cast<uint32_t>(found), std::bit_cast<uint32_t>(expected)) << place << ": " << found;
  }
}

class AffineKernelsTest : public ::testing::TestWithParam<AffineTables> {
 protected:
  const AffineCodeKernels& codes_ = *GetParam().codes;
  const AffineValueKernels& values_ = *GetParam().values;
  const AffineNoiseKernels& noise_ = *GetParam().noise;
  const AffineRangeKernels& ranges_ = *GetParam().ranges;

  // Calls run(grid, step, count, offset): ranges of every size, that start at the first or second element.
  template <typename Run>
  void for_each_range(const Run& run) {
    for (const Grid& grid : kGrids) {
      const AffineStep step = affine_step(grid.scale, grid.zero_point, grid.bits);
      for (const int64_t count : kCounts) {
        for (const int64_t offset : {0, 1}) {
          run(grid, step, count, offset);
          if (HasFatalFailure()) return;
        }
      }
    }
  }
};

TEST_P(AffineKernelsTest, Codes) {
  for_each_range([&](const Grid& grid, const AffineStep& step, int64_t count, int64_t offset) {
    const std::vector<float> x = sample(grid);
    std::vector<uint8_t> codes(kMaxCount + 3, 0xee);
    codes_.quantize(step, x.data() + offset, count, codes.data() + 1);
    for (int64_t i = 0; i < count; ++i) {
      const float value = x[static_cast<size_t>(offset + i)];
      ASSERT_EQ(codes[static_cast<size_t>(1 + i)], code_of(grid, value)) << value << " / " << grid.scale;
    }
    ASSERT_EQ(codes[0], 0xee);
    ASSERT_EQ(codes[static_cast<size_t>(count + 1)], 0xee);
  });
}

TEST_P(AffineKernelsTest, Decoding) {
  for_each_range([&](const Grid& grid, const AffineStep& step, int64_t count, int64_t offset) {
    std::vector<uint8_t> codes(kMaxCount + 1);
    for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<uint8_t>(i % (1u << grid.bits));
    std::vector<float> out(kMaxCount + 3, 9.0f);
    std::vector<uint16_t> half(kMaxCount + 3, 9);
    codes_.dequantize_f32(step, codes.data() + offset, count, out.data() + 1);
    codes_.dequantize_bf16(step, codes.data() + offset, count, half.data() + 1);
    for (int64_t i = 0; i < count; ++i) {
      const float expected = decoded(grid, codes[static_cast<size_t>(offset + i)]);
      expect_same(out[static_cast<size_t>(1 + i)], expected, "fp32");
      ASSERT_EQ(half[static_cast<size_t>(1 + i)], to_bf16(expected));
    }
    ASSERT_EQ(out[0], 9.0f);
    ASSERT_EQ(out[static_cast<size_t>(count + 1)], 9.0f);
    ASSERT_EQ(half[static_cast<size_t>(count + 1)], 9);
  });
}

TEST_P(AffineKernelsTest, FakeQuantization) {
  for_each_range([&](const Grid& grid, const AffineStep& step, int64_t count, int64_t offset) {
    const std::vector<float> x = sample(grid, false);
    const std::vector<uint16_t> x_half = to_bf16(x);
    std::vector<float> out(kMaxCount + 3, 9.0f);
    std::vector<uint16_t> half(kMaxCount + 3, 9), narrow(kMaxCount + 3, 9);
    values_.fake_quantize_f32(step, x.data() + offset, count, out.data() + 1);
    values_.fake_quantize_bf16(step, x_half.data() + offset, count, half.data() + 1);
    values_.fake_quantize_f32_to_bf16(step, x.data() + offset, count, narrow.data() + 1);
    for (int64_t i = 0; i < count; ++i) {
      const auto at = static_cast<size_t>(1 + i), from = static_cast<size_t>(offset + i);
      expect_same(out[at], value_of(grid, x[from]), std::to_string(x[from]));
      ASSERT_EQ(half[at], to_bf16(value_of(grid, from_bf16(x_half[from]))));
      ASSERT_EQ(narrow[at], to_bf16(value_of(grid, x[from])));
    }
    ASSERT_EQ(out[0], 9.0f);
    ASSERT_EQ(out[static_cast<size_t>(count + 1)], 9.0f);
    ASSERT_EQ(narrow[static_cast<size_t>(count + 1)], 9);
  });
}

TEST_P(AffineKernelsTest, FakeQuantizationInPlace) {
  const Grid grid = kGrids[0];
  const AffineStep step = affine_step(grid.scale, grid.zero_point, grid.bits);
  const std::vector<float> x = sample(grid);
  std::vector<float> out(x.size()), in_place = x;
  values_.fake_quantize_f32(step, x.data(), static_cast<int64_t>(x.size()), out.data());
  values_.fake_quantize_f32(step, in_place.data(), static_cast<int64_t>(x.size()), in_place.data());
  EXPECT_EQ(in_place, out);
}

TEST_P(AffineKernelsTest, NoiseFollowsTheDraws) {
  const base::RandomStream stream(7, base::hash_name("fc1.weight"), 12, 3);
  for (const double probability : {0.0, 1e-9, 0.3, 0.5, 1 - 1e-9, 1.0}) {
    const AffineDraws draws = affine_draws(stream, probability);
    const auto is_drawn = [&](uint64_t element) {
      return (stream.bits(element / 2) >> (16 * (element % 2)) & 0xffffu) < draws.threshold;
    };
    const Grid grid = kGrids[0];
    const AffineStep step = affine_step(grid.scale, grid.zero_point, grid.bits);
    const std::vector<float> x = sample(grid);
    const std::vector<uint16_t> x_half = to_bf16(x);
    for (const uint64_t first : {uint64_t{0}, uint64_t{5}, uint64_t{8}, (uint64_t{1} << 35) - 9}) {
      for (const int64_t count : kCounts) {
        std::vector<float> out(kMaxCount + 2, 9.0f);
        std::vector<uint16_t> half(kMaxCount + 2, 9), narrow(kMaxCount + 2, 9);
        noise_.noise_f32(step, draws, first, x.data(), count, out.data() + 1);
        noise_.noise_bf16(step, draws, first, x_half.data(), count, half.data() + 1);
        noise_.noise_f32_to_bf16(step, draws, first, x.data(), count, narrow.data() + 1);
        for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
          const bool drawn = is_drawn(first + i);
          expect_same(out[i + 1], drawn ? value_of(grid, x[i]) : x[i], std::to_string(first + i));
          ASSERT_EQ(half[i + 1], drawn ? to_bf16(value_of(grid, from_bf16(x_half[i]))) : x_half[i]);
          ASSERT_EQ(narrow[i + 1], to_bf16(drawn ? value_of(grid, x[i]) : x[i]));
        }
        ASSERT_EQ(out[static_cast<size_t>(count + 1)], 9.0f);
        ASSERT_EQ(half[static_cast<size_t>(count + 1)], 9);
        ASSERT_EQ(narrow[static_cast<size_t>(count + 1)], 9);
      }
    }
  }
}

TEST_P(AffineKernelsTest, Extremes) {
  for (const int64_t count : kCounts) {
    for (const size_t offset : {0u, 1u}) {
      const std::vector<float> x = sample(kGrids[0]);
      MinMax seen{1e37f, -1e37f, true}, expected = seen;
      values_.min_max(x.data() + offset, count, &seen);
      for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
        expected.min = std::fmin(expected.min, x[offset + i]);
        expected.max = std::fmax(expected.max, x[offset + i]);
      }
      EXPECT_EQ(seen.min, expected.min);
      EXPECT_EQ(seen.max, expected.max);
      EXPECT_TRUE(seen.finite);
    }
  }
  for (const float bad : {kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN()}) {
    for (size_t i = 0; i < 35; ++i) {
      std::vector<float> x(35, 3e38f);
      x[i] = bad;
      MinMax seen;
      values_.min_max(x.data(), 35, &seen);
      EXPECT_FALSE(seen.finite) << i;
    }
  }
  const float zeros[] = {-0.0f, 0.0f, -0.0f};
  MinMax seen{-0.0f, -0.0f, true};
  values_.min_max(zeros, 3, &seen);
  EXPECT_FALSE(std::signbit(seen.min));
  EXPECT_FALSE(std::signbit(seen.max));
}

TEST_P(AffineKernelsTest, Histograms) {
  const HistogramBins bins{8, -20, 50};
  std::vector<float> x = {0.0f,    -0.0f, 0.124f, 0.125f, -0.125f, -0.1251f, -1e-45f, 1e-45f,
                          -1e-40f, 1e30f, -1e30f, 3.749f, 3.75f,   -2.5f,    -2.6f,   3.7f};
  for (int i = 0; i < 200; ++i) x.push_back(static_cast<float>(i) * 0.031f - 3);
  for (size_t count = 0; count <= x.size(); ++count) {
    std::vector<int64_t> counts(50), expected(50);
    ranges_.histogram(bins, x.data(), static_cast<int64_t>(count), counts.data());
    for (size_t i = 0; i < count; ++i) {
      const double bin = std::floor(double{x[i]} * 8) + 20;
      ++expected[static_cast<size_t>(std::fmin(std::fmax(bin, 0.0), 49.0))];
    }
    ASSERT_EQ(counts, expected) << count;
  }
}

// Negative values that vanish when divided by the width still lie below zero.
TEST_P(AffineKernelsTest, HistogramsOfWideBins) {
  const HistogramBins bins{0x1p-100f, -1, 2};
  const float x[] = {-1e-30f, -1e-45f, 1e-30f, -1e29f};
  int64_t counts[2] = {0, 0};
  ranges_.histogram(bins, x, 4, counts);
  EXPECT_EQ(counts[0], 3);
  EXPECT_EQ(counts[1], 1);
}

TEST_P(AffineKernelsTest, FitSumsAreThoseOfThePortableSet) {
  for_each_range([&](const Grid& grid, const AffineStep& step, int64_t count, int64_t offset) {
    std::vector<float> x = sample(grid);
    for (size_t i = 0; i < x.size(); ++i) {
      // Far outside the square of an error has more bits than a double; farther still it drowns all others.
      if (i % 3 == 0 || std::abs(x[i]) > 1e6f * grid.scale) x[i] = x[i > 0 ? i - 1 : 1] * 301.7f;
    }
    AffineFit fit{1, 2, 3}, portable = fit;
    ranges_.fit(step, x.data() + offset, count, &fit);
    kAffineRangePortable.fit(step, x.data() + offset, count, &portable);
    ASSERT_EQ(std::bit_cast<uint64_t>(fit.squared_error), std::bit_cast<uint64_t>(portable.squared_error));
    ASSERT_EQ(std::bit_cast<uint64_t>(fit.cross), std::bit_cast<uint64_t>(portable.cross));
    ASSERT_EQ(std::bit_cast<uint64_t>(fit.squares), std::bit_cast<uint64_t>(portable.squares));
    double error = 1, cross = 2, squares = 3;
    for (int64_t i = 0; i < count; ++i) {
      const float value = x[static_cast<size_t>(offset + i)];
      const double multiple = code_of(grid, value) - grid.zero_point;
      error += (double{value} - value_of(grid, value)) * (double{value} - value_of(grid, value));
      cross += multiple * value;
      squares += multiple * multiple;
    }
    ASSERT_NEAR(fit.squared_error, error, 1e-12 * error);
    ASSERT_NEAR(fit.cross, cross, 1e-9 * std::abs(cross) + 1e-9);
    ASSERT_EQ(fit.squares, squares);
  });
}

INSTANTIATE_TEST_SUITE_P(Sets, AffineKernelsTest, ::testing::ValuesIn(runnable_tables()),
                         [](const auto& info) { return std::string(info.param.codes->name); });

TEST(AffineDraws, TheThresholdHasSixteenBits) {
  const base::RandomStream stream(1, 2, 3, 4);
  EXPECT_EQ(affine_draws(stream, 0).threshold, 0u);
  EXPECT_EQ(affine_draws(stream, 1e-12).threshold, 1u);
  EXPECT_EQ(affine_draws(stream, 0.5).threshold, 32768u);
  EXPECT_EQ(affine_draws(stream, 0.1).threshold, 6554u);
  EXPECT_EQ(affine_draws(stream, 1 - 1e-12).threshold, 65535u);
  EXPECT_EQ(affine_draws(stream, 1).threshold, 65536u);
}

TEST(AffineKernels, TheSetFollowsTheTable) {
  // There is none of its own for VNNI and VBMI: it gains nothing from them. NEON belongs to the baseline of
  // its processors: compilers use it in the portable loops.
  const std::string_view name = instruction_set().name;
  const std::string_view own = name == "avx512vnni" ? "avx512" : name == "neon" ? "portable" : name;
  EXPECT_EQ(std::string_view(affine_code_kernels().name), own);
}

}  // namespace
}  // namespace quantnoise::kernels
