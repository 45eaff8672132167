// Quantized inputs of products: values, gradients, draws, calibration.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "activation_fixture.h"
#include "quantnoise/base/error.h"

namespace quantnoise::quant {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Calibration = ActivationQuantizer::Calibration;

TEST_F(ActivationTest, WithoutOptionsEverythingPasses) {
  EXPECT_TRUE(quantizer.apply(x, true).is_same(x));
  EXPECT_TRUE(quantizer.apply(x, false).is_same(x));
}

TEST_F(ActivationTest, EvaluationIsTorchsFakeQuantizationToTheBit) {
  make_static();
  EXPECT_TRUE(at::equal(quantizer.apply(x, false), torchs(x, hundredths())));
}

TEST_F(ActivationTest, WhatLiesOutsideClipsAndIsNeverReflected) {
  make_static(/*probability=*/1);
  const at::Tensor outside = torch::tensor(
      {1.27f, 1.3f, 2.0f, 1e6f, -1.28f, -1.3f, -2.0f, -1e6f, std::numeric_limits<float>::infinity()});
  const at::Tensor ends = torch::tensor({1.27f, 1.27f, 1.27f, 1.27f, -1.28f, -1.28f, -1.28f, -1.28f, 1.27f});
  for (const bool training : {false, true})
    EXPECT_TRUE(at::allclose(quantizer.apply(outside, training), ends));
}

TEST_F(ActivationTest, EvaluationDependsNeitherOnOrderNorOnSizeOfBatches) {
  for (const ActivationMode mode : {ActivationMode::kStatic, ActivationMode::kDynamic}) {
    quantizer.set_options(options_of(mode));
    if (mode == ActivationMode::kStatic) quantizer.set_grid(hundredths());
    const at::Tensor together = quantizer.apply(x, false);
    for (int64_t i = x.size(0) - 1; i >= 0; --i) {
      EXPECT_TRUE(at::equal(quantizer.apply(x.narrow(0, i, 1), false), together.narrow(0, i, 1)));
      for (int64_t t = 0; t < x.size(1); ++t) {
        EXPECT_TRUE(at::equal(quantizer.apply(x[i][t], false), together[i][t]));
      }
    }
  }
}

TEST_F(ActivationTest, DynamicRowsHaveTheirOwnRanges) {
  quantizer.set_options(options_of(ActivationMode::kDynamic));
  const at::Tensor sizes = torch::tensor({1e-3f, 1.0f, 1e3f}).unsqueeze(1);
  const at::Tensor rows = torch::randn({3, 32}) * sizes;
  const at::Tensor error = (quantizer.apply(rows, false) - rows).abs().amax(1);
  const at::Tensor extent = rows.amax(1) - rows.amin(1);
  EXPECT_TRUE((error <= extent / 255 * 0.5001).all().item<bool>());
}

TEST_F(ActivationTest, RateOneIsEvaluationExactlyAndRateZeroIsNothing) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const ComputeTypeGuard compute_type(type);
    for (const at::ScalarType input : {at::kFloat, at::kBFloat16}) {
      const at::Tensor in = x.to(input);
      for (const ActivationMode mode : {ActivationMode::kStatic, ActivationMode::kDynamic}) {
        quantizer.set_options(options_of(mode, 1));
        if (mode == ActivationMode::kStatic) quantizer.set_grid(hundredths());
        const at::Tensor all = quantizer.apply(in, true);
        EXPECT_EQ(all.scalar_type(), type);
        EXPECT_TRUE(at::equal(all, quantizer.apply(in, false))) << in.toString();
        EXPECT_FALSE(at::equal(all, in.to(type)));
        quantizer.set_options(options_of(mode, 0));
        EXPECT_TRUE(quantizer.apply(in, true).is_same(in));
      }
    }
  }
}

TEST_F(ActivationTest, HalfPrecisionIsTheFp32ValueRounded) {
  make_static();
  const at::Tensor wide = quantizer.apply(x, false);
  const ComputeTypeGuard compute_type(at::kBFloat16);
  EXPECT_TRUE(at::equal(quantizer.apply(x, false), wide.to(at::kBFloat16)));
}

TEST_F(ActivationTest, NoiseQuantizesWhatItsDrawsSayAndCopiesTheRest) {
  for (const ActivationMode mode : {ActivationMode::kStatic, ActivationMode::kDynamic}) {
    quantizer.set_options(options_of(mode, 0.3));
    if (mode == ActivationMode::kStatic) quantizer.set_grid(hundredths());
    const at::Tensor in = x * 2;  // much of it outside the range
    const at::Tensor noised = quantizer.apply(in, true).view(-1);
    const at::Tensor all = quantizer.apply(in, false).view(-1);
    codec::AffineNoiseSpec spec;
    spec.probability = 0.3;
    spec.stream = base::RandomStream(7, base::hash_name("decoder.layers.0.fc1.input"), 3, 1);
    int64_t drawn = 0;
    for (int64_t i = 0; i < noised.numel(); ++i) {
      const bool is_drawn = codec::is_drawn(spec, static_cast<uint64_t>(i));
      drawn += is_drawn;
      EXPECT_EQ(noised[i].item<float>(), (is_drawn ? all : in.view(-1))[i].item<float>()) << i;
    }
    EXPECT_GT(drawn, noised.numel() / 5);
    EXPECT_LT(drawn, noised.numel() * 2 / 5);
  }
}

TEST_F(ActivationTest, DrawsFollowClockAndName) {
  make_static(0.5);
  const at::Tensor first = quantizer.apply(x, true);
  EXPECT_TRUE(at::equal(quantizer.apply(x, true), first));
  for (const NoiseClock& clock : {NoiseClock{8, 3, 1}, NoiseClock{7, 4, 1}, NoiseClock{7, 3, 0}}) {
    set_noise_clock(clock);
    EXPECT_FALSE(at::equal(quantizer.apply(x, true), first));
  }
  set_noise_clock({7, 3, 1});
  EXPECT_TRUE(at::equal(quantizer.apply(x, true), first));
  quantizer.set_name("decoder.layers.1.fc1");
  EXPECT_FALSE(at::equal(quantizer.apply(x, true), first));
}

TEST_F(ActivationTest, GradientsGoStraightThrough) {
  for (const ActivationMode mode : {ActivationMode::kStatic, ActivationMode::kDynamic}) {
    for (const bool training : {true, false}) {
      quantizer.set_options(options_of(mode, 0.5));
      if (mode == ActivationMode::kStatic) quantizer.set_grid(hundredths());
      at::Tensor in = (x * 2).requires_grad_();
      const at::Tensor weights = torch::randn_like(in);
      (quantizer.apply(in, training) * weights).sum().backward();
      EXPECT_TRUE(at::equal(in.grad(), weights));
    }
  }
}

TEST_F(ActivationTest, ClippedIsTheReferencesRule) {
  for (const double probability : {0.0, 0.5, 1.0}) {
    make_static(probability, /*clipped=*/true);
    at::Tensor in = (x * 2).requires_grad_();
    const at::Tensor weights = torch::randn_like(in);
    const at::Tensor value = quantizer.apply(in, true);
    (value * weights).sum().backward();
    const codec::AffineRange range = hundredths().range(0);
    const at::Tensor inside = in.ge(range.min).logical_and(in.le(range.max));
    EXPECT_TRUE(at::equal(in.grad(), weights * inside)) << probability;
    EXPECT_LE(value.abs().max().item<float>(), -range.min);
    if (probability == 0) {
      EXPECT_TRUE(at::equal(value, in.clamp(range.min, range.max)));
    }
    if (probability == 1) {
      EXPECT_TRUE(at::equal(value, quantizer.apply(in, false)));
    }
  }
}

TEST_F(ActivationTest, BackwardGivesTheInputsType) {
  const ComputeTypeGuard compute_type(at::kBFloat16);
  make_static(0.5);
  at::Tensor in = x.clone().requires_grad_();
  const at::Tensor value = quantizer.apply(in, true);
  EXPECT_EQ(value.scalar_type(), at::kBFloat16);
  value.sum().backward();
  EXPECT_EQ(in.grad().scalar_type(), at::kFloat);
}

// ---- calibration
// -----------------------------------------------------------------------------------------------------------

TEST_F(ActivationTest, TrainingCalibratesAndEvaluationNever) {
  quantizer.set_options(options_of(ActivationMode::kStatic, 1));
  quantizer.start_calibration(Calibration::kTraining);
  EXPECT_TRUE(quantizer.apply(x, false).is_same(x)) << "no range yet";
  EXPECT_FALSE(quantizer.grid());
  EXPECT_TRUE(quantizer.apply(x, true).is_same(x)) << "training has no range before the first is found";
  const std::optional<codec::AffineGrid> so_far = quantizer.grid();
  ASSERT_TRUE(so_far);
  EXPECT_TRUE(at::equal(quantizer.apply(x * 100, false), torchs(x * 100, *so_far)));
  EXPECT_EQ(quantizer.grid()->scales, so_far->scales) << "evaluation changed the range";
  quantizer.apply(x * 10, true);
  EXPECT_GT(quantizer.grid()->scales[0], so_far->scales[0] * 2);
  quantizer.finish_calibration();
  const codec::AffineGrid found = *quantizer.grid();
  for (const bool training : {true, false}) {
    EXPECT_TRUE(at::equal(quantizer.apply(x, training), torchs(x, found)));
    quantizer.apply(x * 1000, training);
  }
  EXPECT_EQ(quantizer.grid()->scales, found.scales) << "a frozen range moved";
}

TEST_F(ActivationTest, AFormerRangeStaysUntilTheNextIsFound) {
  make_static(1);
  quantizer.start_calibration(Calibration::kTraining);
  EXPECT_TRUE(at::equal(quantizer.apply(x * 5, true), torchs(x * 5, hundredths())));
  EXPECT_EQ(quantizer.grid()->scales, hundredths().scales);
  quantizer.finish_calibration();
  EXPECT_GT(quantizer.grid()->scales[0], 2 * hundredths().scales[0]);
  const codec::AffineGrid found = *quantizer.grid();
  quantizer.start_calibration(Calibration::kTraining);
  quantizer.finish_calibration();
  EXPECT_EQ(quantizer.grid()->scales, found.scales) << "nothing was observed: the range stays";
}

TEST_F(ActivationTest, CalibrationInEvaluationLetsEverythingPass) {
  quantizer.set_options(options_of(ActivationMode::kStatic));
  quantizer.start_calibration(Calibration::kEvaluation);
  quantizer.apply(x * 100, true);
  EXPECT_FALSE(quantizer.grid()) << "training was observed";
  EXPECT_TRUE(quantizer.apply(x, false).is_same(x));
  quantizer.finish_calibration();
  codec::RunningObserver observer(codec::Observer::kHistogram);
  observer.observe({x.const_data_ptr<float>(), static_cast<size_t>(x.numel())}, torch_parallel_for());
  EXPECT_EQ(quantizer.grid()->scales, observer.grid(8, false).scales);
  EXPECT_EQ(quantizer.grid()->zero_points, observer.grid(8, false).zero_points);
}

TEST_F(ActivationTest, OtherBitsOrModesDropTheRange) {
  make_static();
  quantizer.set_options(options_of(ActivationMode::kStatic, 0.5));
  EXPECT_TRUE(quantizer.grid());
  quantizer.set_options(options_of(ActivationMode::kStatic, 0.5, 4));
  EXPECT_FALSE(quantizer.grid());
  make_static();
  quantizer.set_options(options_of(ActivationMode::kNone));
  quantizer.set_options(options_of(ActivationMode::kStatic));
  EXPECT_FALSE(quantizer.grid());
}

TEST(CalibrationSchedule, ObservesTheBeginningOfEveryIntervalAndOftenInTheFirst) {
  CalibrationSchedule schedule;
  schedule.observed_updates = 2;
  schedule.interval = 12;
  schedule.freeze_update = 41;
  schedule.first_update = 3;
  std::vector<int64_t> observed, begun;
  for (int64_t update = 0; update < 80; ++update) {
    if (schedule.observes(update)) observed.push_back(update);
    if (schedule.begins(update)) begun.push_back(update);
  }
  EXPECT_THAT(begun, ::testing::ElementsAre(3, 7, 11, 15, 27, 39));
  EXPECT_THAT(observed, ::testing::ElementsAre(3, 4, 7, 8, 11, 12, 15, 16, 27, 28, 39, 40));
  const auto error_with = [](int64_t observed_updates, int64_t interval) {
    CalibrationSchedule wrong;
    wrong.observed_updates = observed_updates;
    wrong.interval = interval;
    return error_of([&] { check_schedule(wrong); });
  };
  EXPECT_THAT(error_with(0, 5), HasSubstr("0 observed updates"));
  EXPECT_THAT(error_with(9, 8), HasSubstr("in every 8"));
  EXPECT_EQ(error_with(8, 8), "no error");
}

TEST_F(ActivationTest, AScheduleBeginsAndEndsCalibrations) {
  quantizer.set_options(options_of(ActivationMode::kStatic));
  CalibrationSchedule schedule;
  schedule.observed_updates = 2;
  schedule.interval = 4;
  std::vector<float> scales;
  for (int64_t update = 0; update < 12; ++update) {
    begin_update(quantizer, schedule, update);
    EXPECT_EQ(quantizer.calibration() == Calibration::kTraining, schedule.observes(update)) << update;
    quantizer.apply(x * static_cast<double>(1 + update), true);
    if (!schedule.observes(update)) scales.push_back(quantizer.grid()->scales[0]);
  }
  ASSERT_EQ(scales.size(), 6u);
  for (size_t i = 0; i < scales.size(); i += 2) EXPECT_EQ(scales[i], scales[i + 1]);
  EXPECT_GT(scales[2], 2 * scales[0]);
  EXPECT_GT(scales[4], scales[2]);
}

TEST_F(ActivationTest, ACalibrationGoesOnUntilSomethingWasObserved) {
  quantizer.set_options(options_of(ActivationMode::kStatic));
  CalibrationSchedule schedule;
  schedule.observed_updates = 2;
  schedule.freeze_update = 4;
  for (int64_t update = 0; update < 7; ++update) begin_update(quantizer, schedule, update);
  EXPECT_EQ(quantizer.calibration(), Calibration::kTraining);
  quantizer.apply(x, true);
  begin_update(quantizer, schedule, 7);
  EXPECT_EQ(quantizer.calibration(), Calibration::kOff);
  EXPECT_TRUE(quantizer.grid());
}

// ---- state
// -----------------------------------------------------------------------------------------------------------------

}  // namespace
}  // namespace quantnoise::quant
