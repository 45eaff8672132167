#include "quantnoise/codec/affine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>

#include "quantnoise/codec/bit_pack.h"
#include "quantnoise/codec/half.h"
#include "quantnoise/codec/observer.h"
#include "sample_weights.h"

namespace quantnoise::codec {
namespace {

using test::gaussian;
using test::squared_distance;
using test::squared_norm;
using ::testing::HasSubstr;

const base::SerialFor kSerial;

std::vector<float> fake_quantized(const std::vector<float>& x, const std::vector<int64_t>& shape,
                                  const AffineGrid& grid, const base::ParallelFor& parallel_for = kSerial) {
  std::vector<float> out(x.size());
  fake_quantize(x, shape, grid, out, parallel_for);
  return out;
}

AffineGrid grid_of(float min, float max, int bits, bool symmetric) {
  return affine_grid({{{min, max}}}, bits, symmetric);
}

template <typename Call>
std::string message_of(ErrorKind kind, const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.what();
  }
  return "no error";
}

// Relative squared error on Gaussian weights, per tensor, range of least squared error. Every bit more than
// halves it.
constexpr struct {
  int bits;
  double bound;
} kErrorBounds[] = {{2, 0.16}, {3, 0.043}, {4, 0.013}, {5, 0.004}, {6, 0.00125}, {7, 3.8e-4}, {8, 1.15e-4}};

TEST(Affine, ErrorOfEveryBitWidthIsWithinItsBound) {
  const std::vector<int64_t> shape = {256, 256};
  for (const uint64_t seed : {1, 2, 3}) {
    const std::vector<float> weight = gaussian(256 * 256, seed);
    for (const bool symmetric : {false, true}) {
      double previous = 1;
      for (const auto& [bits, bound] : kErrorBounds) {
        const AffineGrid grid =
            observe_weight(weight, shape, {Observer::kHistogram, bits, symmetric}, kSerial);
        const double error =
            squared_distance(weight, fake_quantized(weight, shape, grid)) / squared_norm(weight);
        EXPECT_LE(error, bound) << bits << " bits";
        EXPECT_LE(error, previous / 2) << bits << " bits";
        EXPECT_NEAR(affine_squared_error(weight, shape, grid, kSerial) / squared_norm(weight), error,
                    1e-9 * error);
        previous = error;
      }
    }
  }
}

// fairseq computes scale and zero point for 8 bits whatever the width, and cuts the codes off at 2^bits − 1:
// at 4 bits a sixteenth of the range is left, all of it at the negative end.
TEST(Affine, FairseqsInt4IsNotOurs) {
  const std::vector<float> weight = gaussian(256 * 256, 1);
  const std::vector<int64_t> shape = {256, 256};
  AffineGrid grid = observe_weight(weight, shape, {Observer::kHistogram, 8}, kSerial);
  double error = 0;
  for (const float w : weight) {
    const float code = std::nearbyint(w / grid.scales[0] + static_cast<float>(grid.zero_points[0]));
    const float cut = std::fmin(std::fmax(code, 0.0f), 15.0f);
    const float value = (cut - static_cast<float>(grid.zero_points[0])) * grid.scales[0];
    error += (double{w} - value) * (double{w} - value);
  }
  EXPECT_GT(error / squared_norm(weight), 3);  // worse than to store nothing, which is 1
  grid = observe_weight(weight, shape, {Observer::kHistogram, 4}, kSerial);
  EXPECT_LT(affine_squared_error(weight, shape, grid, kSerial) / squared_norm(weight), 0.013);
}

TEST(Affine, GridsCoverTheirRange) {
  for (int bits = 2; bits <= 8; ++bits) {
    for (const bool symmetric : {false, true}) {
      for (const AffineRange range :
           {AffineRange{-1, 1}, AffineRange{-0.3f, 2}, AffineRange{0.5f, 3}, AffineRange{-7, -2},
            AffineRange{-1e-3f, 1e4f}, AffineRange{-1e-30f, 0}}) {
        const AffineGrid grid = affine_grid({&range, 1}, bits, symmetric);
        const float scale = grid.scales[0];
        ASSERT_GE(grid.zero_points[0], 0);
        ASSERT_LE(grid.zero_points[0], grid.max_code());
        if (symmetric) {
          EXPECT_EQ(grid.zero_points[0], 1 << (bits - 1));
        }
        const float low = std::fmin(range.min, 0.0f), high = std::fmax(range.max, 0.0f);
        std::vector<float> x;
        for (int i = 0; i <= 1000; ++i) x.push_back(low + (high - low) * static_cast<float>(i) / 1000);
        x.push_back(0);
        const std::vector<float> out = fake_quantized(x, {1002}, grid);
        for (size_t i = 0; i < x.size(); ++i) {
          ASSERT_LE(std::abs(out[i] - x[i]), scale * 0.50001f) << x[i] << " at " << bits << " bits";
        }
        EXPECT_EQ(out.back(), 0.0f);
        // No finer than needed: the range is as wide as all steps.
        EXPECT_LE(scale * static_cast<float>(grid.max_code()),
                  (symmetric ? 2.0001f : 1.0001f) * (high - low));
        EXPECT_EQ(grid.range(0).min, static_cast<float>(-grid.zero_points[0]) * scale);
        EXPECT_EQ(grid.range(0).max, static_cast<float>(grid.max_code() - grid.zero_points[0]) * scale);
      }
    }
  }
}

TEST(Affine, FormulasOfTheGrid) {
  const AffineGrid asymmetric = grid_of(-1.0f, 2.0f, 4, false);
  EXPECT_EQ(asymmetric.scales[0], 3.0f / 15);
  EXPECT_EQ(asymmetric.zero_points[0], 5);
  const AffineGrid symmetric = grid_of(-1.0f, 2.0f, 4, true);
  EXPECT_EQ(symmetric.scales[0], 2.0f / 7.5f);
  EXPECT_EQ(symmetric.zero_points[0], 8);
}

TEST(Affine, RoundsHalfToEvenAndClips) {
  const AffineGrid grid{3, -1, {0.5f}, {2}};
  const std::vector<float> x = {0.25f, 0.75f, 1.25f, -0.25f, -0.75f, 9.0f, -9.0f, 2.5f, -1.0f, 1e38f, -1e38f};
  const std::vector<float> expected = {0, 1, 1, 0, -1, 2.5f, -1, 2.5f, -1, 2.5f, -1};
  EXPECT_EQ(fake_quantized(x, {11}, grid), expected);
  EXPECT_EQ(quantize_affine(x, {{11}}, grid, kSerial),
            (std::vector<uint8_t>{2, 4, 4, 2, 0, 7, 0, 7, 0, 7, 0}));
}

// The reference gives 2 · end − w for a quantized element beyond the end of the range.
TEST(Affine, WhatLiesOutsideClipsAndIsNeverReflected) {
  for (int bits = 2; bits <= 8; ++bits) {
    const AffineGrid grid = grid_of(-0.5f, 1.0f, bits, false);
    std::vector<float> x;
    for (int i = 1; i < 100; ++i) {
      x.push_back(grid.range(0).max + 0.1f * static_cast<float>(i));
      x.push_back(grid.range(0).min - 0.1f * static_cast<float>(i));
    }
    const std::vector<float> out = fake_quantized(x, {198}, grid);
    for (size_t i = 0; i < x.size(); ++i) {
      ASSERT_EQ(out[i], i % 2 == 0 ? grid.range(0).max : grid.range(0).min);
    }
  }
}

TEST(Affine, NotANumberStaysAndInfinityClips) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const AffineGrid grid = grid_of(-1, 1, 8, false);
  const std::vector<float> out =
      fake_quantized({kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN()}, {3}, grid);
  EXPECT_EQ(out[0], grid.range(0).max);
  EXPECT_EQ(out[1], grid.range(0).min);
  EXPECT_TRUE(std::isnan(out[2]));
}

TEST(Affine, DegenerateRanges) {
  for (int bits = 2; bits <= 8; ++bits) {
    for (const bool symmetric : {false, true}) {
      const AffineGrid zero = grid_of(0, 0, bits, symmetric);
      EXPECT_EQ(zero.scales[0], 1.0f);
      EXPECT_EQ(fake_quantized({0.0f, -0.0f}, {2}, zero), (std::vector<float>{0, 0}));
      // Too small for a scale of their own: the smallest scale there is.
      const AffineGrid tiny = grid_of(-1e-45f, 1e-44f, bits, symmetric);
      EXPECT_EQ(tiny.scales[0], 0x1p-126f);
      EXPECT_EQ(fake_quantized({1e-44f}, {1}, tiny)[0], 0.0f);
      const AffineGrid huge = grid_of(-0x1p126f, 0x1p126f, bits, symmetric);
      EXPECT_NEAR(fake_quantized({0x1p126f}, {1}, huge)[0] / 0x1p126f, 1, 0.34);
    }
    for (const float constant : {0.3f, -7.0f, 1e-30f}) {
      const AffineGrid grid = grid_of(constant, constant, bits, false);
      EXPECT_NEAR(fake_quantized({constant}, {1}, grid)[0] / constant, 1, 1e-6);
    }
  }
  EXPECT_TRUE(quantize_affine({}, {{0, 4}}, AffineGrid{}, kSerial).empty());
  EXPECT_TRUE(quantize_affine({}, {{0, 4}}, AffineGrid{8, 0, {}, {}}, kSerial).empty());
}

// Element i of a (2, 3, 4, 5) weight belongs to a known index of every axis.
TEST(Affine, ChannelsOfAnyAxis) {
  const std::vector<int64_t> shape = {2, 3, 4, 5};
  const std::vector<float> weight = gaussian(120, 5);
  const size_t strides[] = {60, 20, 5, 1};
  for (size_t axis = 0; axis < 4; ++axis) {
    AffineGrid grid{4, static_cast<int>(axis), {}, {}};
    for (int64_t channel = 0; channel < shape[axis]; ++channel) {
      grid.scales.push_back(0.01f * static_cast<float>(channel + 1));
      grid.zero_points.push_back(static_cast<int32_t>(channel + 3));
    }
    const std::vector<float> out = fake_quantized(weight, shape, grid);
    const std::vector<uint8_t> codes = quantize_affine(weight, shape, grid, kSerial);
    std::vector<float> decoded(120);
    dequantize_affine(codes, shape, grid, decoded, kSerial);
    EXPECT_EQ(decoded, out);
    EXPECT_EQ(unpack_to_float(pack_affine(codes, shape, grid)), out);
    for (size_t i = 0; i < weight.size(); ++i) {
      const size_t channel = i / strides[axis] % static_cast<size_t>(shape[axis]);
      const AffineGrid one{4, -1, {grid.scales[channel]}, {grid.zero_points[channel]}};
      ASSERT_EQ(out[i], fake_quantized({weight[i]}, {1}, one)[0]) << "axis " << axis << ", element " << i;
    }
  }
}

TEST(Affine, HalfPrecisionOutputsAreTheRoundedOnes) {
  const std::vector<int64_t> shape = {37, 53};
  const std::vector<float> weight = gaussian(37 * 53, 6);
  const AffineGrid grid = observe_weight(weight, shape, {Observer::kChannel, 5, true, 0}, kSerial);
  const std::vector<float> wide = fake_quantized(weight, shape, grid);
  std::vector<uint16_t> narrow(weight.size()), decoded(weight.size()), halves, from_halves(weight.size());
  fake_quantize(weight, shape, grid, narrow, kSerial);
  dequantize_affine(quantize_affine(weight, shape, grid, kSerial), shape, grid, decoded, kSerial);
  for (const float value : weight) halves.push_back(float_to_bf16(value));
  fake_quantize(halves, shape, grid, from_halves, kSerial);
  EXPECT_EQ(narrow, decoded);
  std::vector<float> widened;
  for (const uint16_t half : halves) widened.push_back(bf16_to_float(half));
  const std::vector<float> of_widened = fake_quantized(widened, shape, grid);
  for (size_t i = 0; i < wide.size(); ++i) {
    ASSERT_EQ(narrow[i], float_to_bf16(wide[i]));
    ASSERT_EQ(from_halves[i], float_to_bf16(of_widened[i]));
  }
}

TEST(Affine, ThreadsDoNotMatter) {
  const std::vector<int64_t> shape = {500, 333};
  const std::vector<float> weight = gaussian(500 * 333, 7);
  const base::ThreadPool pool(3);
  for (const Observer observer : {Observer::kHistogram, Observer::kChannelL2}) {
    const AffineGrid grid = observe_weight(weight, shape, {observer, 4}, kSerial);
    const AffineGrid again = observe_weight(weight, shape, {observer, 4}, pool);
    EXPECT_EQ(again.scales, grid.scales);
    EXPECT_EQ(again.zero_points, grid.zero_points);
    EXPECT_EQ(fake_quantized(weight, shape, grid), fake_quantized(weight, shape, grid, pool));
    EXPECT_EQ(affine_squared_error(weight, shape, grid, kSerial),
              affine_squared_error(weight, shape, grid, pool));
  }
}

TEST(Affine, RowsWithRangesOfTheirOwn) {
  const std::vector<float> x = gaussian(40 * 31, 8);
  std::vector<float> out(x.size()), alone(31);
  for (const bool symmetric : {false, true}) {
    fake_quantize_rows(x, 40, 31, 8, symmetric, out, base::ThreadPool(2));
    for (size_t row = 0; row < 40; ++row) {
      const std::vector<float> values(x.begin() + static_cast<int64_t>(row) * 31,
                                      x.begin() + static_cast<int64_t>(row + 1) * 31);
      fake_quantize_rows(values, 1, 31, 8, symmetric, alone, kSerial);
      const auto [min, max] = std::minmax_element(values.begin(), values.end());
      EXPECT_EQ(alone, fake_quantized(values, {31}, grid_of(*min, *max, 8, symmetric)));
      EXPECT_TRUE(std::equal(alone.begin(), alone.end(), out.begin() + static_cast<int64_t>(row) * 31));
    }
  }
}

// Codes of activations stand for the values that fake quantization gives.
TEST(Affine, RowsAsCodesStandForTheSameValues) {
  constexpr int64_t kRows = 40, kCols = 31;
  std::vector<float> x = gaussian(kRows * kCols, 8), values(x.size());
  std::vector<uint8_t> codes(x.size());
  for (const int bits : {2, 5, 8}) {
    std::vector<float> scales(kRows);
    std::vector<int32_t> zero_points(kRows);
    quantize_rows(x, kRows, kCols, bits, false, codes, scales, zero_points, base::ThreadPool(2));
    fake_quantize_rows(x, kRows, kCols, bits, false, values, kSerial);
    for (size_t i = 0; i < x.size(); ++i) {
      const size_t row = i / kCols;
      ASSERT_LT(codes[i], 1 << bits);
      ASSERT_EQ(scales[row] * static_cast<float>(codes[i] - zero_points[row]), values[i]) << bits << " " << i;
    }
    const AffineGrid grid = grid_of(-1, 2, bits, false);  // some values lie outside
    ASSERT_TRUE(quantize_rows(x, kRows, kCols, grid, codes, kSerial));
    values = fake_quantized(x, {kRows, kCols}, grid);
    for (size_t i = 0; i < x.size(); ++i)
      ASSERT_EQ(grid.scales[0] * static_cast<float>(codes[i] - grid.zero_points[0]), values[i]) << i;
  }
  x[77] = INFINITY;
  EXPECT_FALSE(quantize_rows(x, kRows, kCols, grid_of(-1, 2, 8, false), codes, kSerial));
}

TEST(Affine, PackingKeepsEveryCode) {
  for (int bits = 2; bits <= 8; ++bits) {
    for (const int64_t rows : {1, 3, 7, 64}) {
      for (const int64_t cols : {1, 5, 13, 129}) {
        const std::vector<float> weight = gaussian(static_cast<size_t>(rows * cols), 9);
        for (const Observer observer : {Observer::kTensor, Observer::kChannel}) {
          const AffineGrid grid = observe_weight(weight, {{rows, cols}}, {observer, bits}, kSerial);
          const PackedWeight packed = pack_affine(weight, {rows, cols}, grid, kSerial);
          const AffineWeight back = unpack_affine(packed);
          ASSERT_EQ(back.codes, quantize_affine(weight, {{rows, cols}}, grid, kSerial));
          ASSERT_EQ(back.grid.bits, bits);
          ASSERT_EQ(back.grid.axis, observer == Observer::kTensor ? -1 : 0);
          ASSERT_EQ(back.grid.scales, grid.scales);
          ASSERT_EQ(back.grid.zero_points, grid.zero_points);
          ASSERT_EQ(unpack_to_float(packed), fake_quantized(weight, {rows, cols}, grid));
          ASSERT_EQ(static_cast<int64_t>(packed.codes.bytes.size()), (rows * cols * bits + 7) / 8);
          ASSERT_EQ(packed.stored_bytes(),
                    packed_bytes(rows * cols, bits) + 5 * (observer == Observer::kTensor ? 1 : rows));
        }
      }
    }
  }
}

TEST(Affine, TheZeroRowIsZero) {
  const std::vector<float> weight(12, 0.7f);
  const AffineGrid grid = grid_of(-1, 1, 4, false);
  const std::vector<float> values = unpack_to_float(pack_affine(weight, {3, 4}, grid, kSerial, 1));
  for (size_t i = 0; i < 12; ++i) EXPECT_EQ(values[i] == 0, i / 4 == 1) << i;
}

TEST(Affine, BadInputNamesWhatIsWrong) {
  const std::vector<int64_t> shape = {2, 3};
  std::vector<float> weight(6, 0.5f);
  EXPECT_THAT(message_of(ErrorKind::kConfig, [] { grid_of(-1, 1, 1, false); }),
              HasSubstr("bits of affine quantization: found 1, expected 2 to 8"));
  EXPECT_THAT(message_of(ErrorKind::kConfig, [] { grid_of(-1, 1, 9, false); }), HasSubstr("found 9"));
  EXPECT_THAT(message_of(ErrorKind::kNumeric, [] { grid_of(-1, NAN, 8, false); }),
              HasSubstr("found -1 to nan"));
  EXPECT_THAT(message_of(ErrorKind::kNumeric, [] { grid_of(-INFINITY, 0, 8, false); }),
              HasSubstr("expected magnitudes of at most 2^126"));
  const auto of_grid = [&](AffineGrid grid) {
    return message_of(ErrorKind::kConfig, [&] { quantize_affine(weight, shape, grid, kSerial); });
  };
  EXPECT_THAT(of_grid({8, 2, {1}, {0}}),
              HasSubstr("axis: found 2, expected -1 (per tensor) or a dimension of [2, 3]"));
  EXPECT_THAT(of_grid({8, 0, {1}, {0}}), HasSubstr("found 1 and 1 zero points, expected 2 of each"));
  EXPECT_THAT(of_grid({8, -1, {0}, {0}}),
              HasSubstr("scales: found 0, expected finite numbers of at least 2^-126"));
  EXPECT_THAT(of_grid({8, -1, {-1}, {0}}), HasSubstr("scales: found -1"));
  EXPECT_THAT(of_grid({8, -1, {NAN}, {0}}), HasSubstr("scales: found nan"));
  EXPECT_THAT(of_grid({4, -1, {1}, {16}}),
              HasSubstr("zero points: found 16, expected 0 to 15 for codes of 4 bits"));
  EXPECT_THAT(of_grid({4, -1, {1}, {-1}}), HasSubstr("zero points: found -1"));
  weight[4] = NAN;
  EXPECT_THAT(message_of(ErrorKind::kNumeric, [&] { quantize_affine(weight, shape, AffineGrid{}, kSerial); }),
              HasSubstr("row 1, column 1: found nan, expected a finite number"));
  EXPECT_THAT(message_of(ErrorKind::kConfig,
                         [&] {
                           pack_affine(std::vector<uint8_t>{1, 2, 3, 4, 5, 16}, shape, {4, -1, {1}, {0}});
                         }),
              HasSubstr("codes: found 16, expected at most 15 for 4 bits"));
}

TEST(Affine, DamagedPackedWeightsAreFormatErrors) {
  const auto message_after = [](const auto& damage) {
    PackedWeight packed = pack_affine(gaussian(12, 1), {3, 4}, grid_of(-1, 1, 4, false), kSerial);
    damage(packed);
    return message_of(ErrorKind::kFormat, [&] { unpack_to_float(packed); });
  };
  EXPECT_THAT(message_after([](PackedWeight& p) { p.code_bits = 9; }), HasSubstr("found 9, expected 2 to 8"));
  EXPECT_THAT(message_after([](PackedWeight& p) { p.code_bits = 5; }),
              HasSubstr("found 6 bytes, expected 8"));
  EXPECT_THAT(message_after([](PackedWeight& p) { p.affine_axis = 0; }), HasSubstr("expected 3 of each"));
  EXPECT_THAT(message_after([](PackedWeight& p) { p.affine_axis = 2; }), HasSubstr("axis: found 2"));
  EXPECT_THAT(message_after([](PackedWeight& p) { p.zero_points[0] = 16; }), HasSubstr("expected 0 to 15"));
  EXPECT_THAT(message_after([](PackedWeight& p) { p.scales[0] = INFINITY; }), HasSubstr("scales: found inf"));
  EXPECT_THAT(message_after([](PackedWeight& p) { p.zero_row = 3; }), HasSubstr("zero row: found 3"));
}

}  // namespace
}  // namespace quantnoise::codec
