// Quantized inputs of products: state of checkpoints, and what is refused.

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

TEST_F(ActivationTest, StateGoesOnToTheBit) {
  for (const codec::Observer observer : {codec::Observer::kHistogram, codec::Observer::kTensor}) {
    ActivationOptions options = options_of(ActivationMode::kStatic, 0.5);
    options.observer = observer;
    for (const int steps : {0, 1, 3}) {  // nothing seen, calibrating, calibrated and calibrating again
      ActivationQuantizer first;
      first.set_options(options);
      first.start_calibration(Calibration::kTraining);
      for (int i = 0; i < steps; ++i) first.apply(x * (i + 1), true);
      if (steps == 3) {
        first.finish_calibration();
        first.start_calibration(Calibration::kTraining);
        first.apply(x * 3, true);
      }
      ActivationQuantizer second;
      second.set_options(options);
      second.load_training_state(first.training_state());
      EXPECT_EQ(second.calibration(), Calibration::kTraining);
      for (ActivationQuantizer* quantizer : {&first, &second}) {
        quantizer->apply(x * 0.5, true);
        quantizer->finish_calibration();
      }
      EXPECT_EQ(first.grid()->scales, second.grid()->scales) << steps;
      EXPECT_EQ(first.grid()->zero_points, second.grid()->zero_points) << steps;
    }
  }
}

TEST_F(ActivationTest, StateOfOtherOptionsIsPassedOver) {
  make_static();
  const std::map<std::string, at::Tensor> state = quantizer.training_state();
  ActivationQuantizer other;
  other.set_options(options_of(ActivationMode::kStatic, 0, 4));
  other.load_training_state(state);
  EXPECT_FALSE(other.grid());
}

TEST_F(ActivationTest, DamagedStateIsRefusedAndChangesNothing) {
  make_static();
  quantizer.start_calibration(Calibration::kTraining);
  quantizer.apply(x, true);
  const std::map<std::string, at::Tensor> state = quantizer.training_state();
  const auto refuses = [&](const std::string& name, const at::Tensor& value) {
    std::map<std::string, at::Tensor> damaged = state;
    damaged[name] = value;
    EXPECT_THAT(error_of([&] { quantizer.load_training_state(damaged); }), HasSubstr("state")) << name;
    EXPECT_EQ(quantizer.grid()->scales, hundredths().scales);
  };
  refuses("calibration", torch::tensor({int64_t{5}}));
  refuses("observer.counts", torch::tensor({int64_t{1}, int64_t{2}}));
  refuses("observer.bins", torch::tensor({int64_t{1}}));
  refuses("observer.extent", torch::tensor({std::nanf(""), 1.0f}));
  std::map<std::string, at::Tensor> damaged = state;
  damaged["scale"] = torch::tensor({-1.0f});
  EXPECT_NE(error_of([&] { quantizer.load_training_state(damaged); }), "no error");
  damaged = state;
  damaged.erase("calibration");
  EXPECT_THAT(error_of([&] { quantizer.load_training_state(damaged); }), HasSubstr("'calibration'"));
}

// ---- bad input
// -----------------------------------------------------------------------------------------------------------------

TEST_F(ActivationTest, ValuesThatAreNotNumbersAreNamedWithTheirLayer) {
  at::Tensor bad = x.clone();
  bad[2][3][4] = std::nanf("");
  const auto names_it = AllOf(HasSubstr("decoder.layers.0.fc1"), HasSubstr("nan"));
  quantizer.set_options(options_of(ActivationMode::kDynamic));
  EXPECT_THAT(error_of([&] { quantizer.apply(bad, false); }), names_it);
  quantizer.set_options(options_of(ActivationMode::kStatic));
  quantizer.start_calibration(Calibration::kTraining);
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    EXPECT_THAT(error_of([&] { quantizer.apply(bad.to(type), true); }), names_it);
  }
  EXPECT_FALSE(quantizer.grid()) << "a part of the batch was kept";
  make_static();
  const at::Tensor value = quantizer.apply(bad, false);
  EXPECT_TRUE(value[2][3][4].isnan().item<bool>()) << "a static range must not hide it";
  EXPECT_EQ(value.isnan().sum().item<int64_t>(), 1);
}

TEST_F(ActivationTest, OptionsOutOfRangeAreRefused) {
  const auto refusal = [&](const ActivationOptions& options) {
    return error_of([&] { quantizer.set_options(options); });
  };
  const std::string layer = "decoder.layers.0.fc1";
  EXPECT_THAT(refusal(options_of(ActivationMode::kStatic, 0, 1)),
              AllOf(HasSubstr(layer), HasSubstr("1 bits")));
  EXPECT_THAT(refusal(options_of(ActivationMode::kStatic, 0, 9)), HasSubstr("2 to 8"));
  EXPECT_THAT(refusal(options_of(ActivationMode::kStatic, 1.5)), HasSubstr("probability 1.5"));
  ActivationOptions options = options_of(ActivationMode::kStatic);
  options.observer = codec::Observer::kChannel;
  EXPECT_THAT(refusal(options), HasSubstr("observer channel"));
  EXPECT_THAT(error_of([] { parse_activation_mode("sometimes"); }), HasSubstr("'sometimes'"));
  quantizer.set_options(options_of(ActivationMode::kDynamic));
  EXPECT_THAT(error_of([&] { quantizer.set_grid(hundredths()); }), HasSubstr(layer));
}

}  // namespace
}  // namespace quantnoise::quant
