#pragma once
// What the tests of quantized inputs share.

#include <gtest/gtest.h>

#include <string>

#include "quantnoise/base/error.h"
#include "quantnoise/quant/activation.h"

namespace quantnoise::quant {

inline ActivationOptions options_of(ActivationMode mode, double probability = 0, int bits = 8) {
  ActivationOptions options;
  options.mode = mode;
  options.probability = probability;
  options.bits = bits;
  return options;
}

// −1.28 … 1.27 in steps of 0.01.
inline codec::AffineGrid hundredths() { return {8, -1, {0.01f}, {128}}; }

inline at::Tensor torchs(const at::Tensor& x, const codec::AffineGrid& grid) {
  return at::fake_quantize_per_tensor_affine(x, static_cast<double>(grid.scales[0]), grid.zero_points[0], 0,
                                             grid.max_code());
}

template <typename Body>
std::string error_of(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    return str_cat(static_cast<int>(error.kind()), ": ", error.what());
  }
  return "no error";
}

class ActivationTest : public ::testing::Test {
 protected:
  void SetUp() override {
    torch::manual_seed(1);
    set_noise_clock({7, 3, 1});
    quantizer.set_name("decoder.layers.0.fc1");
  }
  void make_static(double probability = 0, bool clipped = false) {
    ActivationOptions options = options_of(ActivationMode::kStatic, probability);
    options.clipped = clipped;
    quantizer.set_options(options);
    quantizer.set_grid(hundredths());
  }

  ActivationQuantizer quantizer;
  const at::Tensor x = torch::randn({6, 5, 16});
};

}  // namespace quantnoise::quant
