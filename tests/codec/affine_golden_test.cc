// The affine codec against torch's own quantization: tests/golden/codec/affine.py.

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "quantnoise/codec/observer.h"

namespace quantnoise::codec {
namespace {

using nlohmann::json;

const base::SerialFor kSerial;

const json& golden() {
  static const json values = [] {
    std::ifstream file(std::string(QN_SOURCE_DIR) + "/tests/golden/codec/affine.json");
    EXPECT_TRUE(file.good());
    return json::parse(file);
  }();
  return values;
}

double uniform(uint64_t seed, uint64_t i) {
  uint64_t z = ((seed << 32) + i + 1) * 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-53;
}

// The script's inputs, to the bit.
std::vector<float> draw(const std::string& name, uint64_t seed, uint64_t count) {
  static const std::map<std::string, std::function<double(double, uint64_t)>> distributions = {
      {"gaussian", [](double g, uint64_t) { return g; }},
      {"heavy", [](double g, uint64_t) { return g * g * g; }},
      {"relu", [](double g, uint64_t) { return std::max(g, 0.0); }},
      {"positive", [](double g, uint64_t) { return g * g; }},
      {"shifted", [](double g, uint64_t) { return 0.001 * (g + 10); }},
      {"outliers", [](double g, uint64_t i) { return g * (i % 500 == 7 ? 40 : 1); }}};
  std::vector<float> values(count);
  for (uint64_t i = 0; i < count; ++i) {
    double g = 0;
    for (uint64_t j = 0; j < 12; ++j) g += uniform(seed, 12 * i + j);
    values[i] = static_cast<float>(distributions.at(name)(g - 6, i));
  }
  return values;
}

std::vector<float> floats(const json& list) { return list.get<std::vector<float>>(); }

AffineGrid grid_of(const json& golden_case) {
  return {golden_case.at("bits").get<int>(), golden_case.at("axis").get<int>(),
          floats(golden_case.at("scales")), golden_case.at("zero_points").get<std::vector<int32_t>>()};
}

// Signs of zeros too.
void expect_same_bits(const std::vector<float>& found, const std::vector<float>& expected,
                      const std::string& what) {
  ASSERT_EQ(found.size(), expected.size()) << what;
  for (size_t i = 0; i < found.size(); ++i) {
    // torch's product of a scale with the integer 0 has no sign.
    const bool same = std::bit_cast<uint32_t>(found[i]) == std::bit_cast<uint32_t>(expected[i]);
    ASSERT_TRUE(same || (found[i] == 0 && expected[i] == 0))
        << what << " at " << i << ": found " << found[i] << ", expected " << expected[i];
  }
}

TEST(AffineGolden, TheInputsAreTheScripts) {
  ASSERT_FALSE(golden().at("draws").empty());
  for (const auto& [name, values] : golden().at("draws").items()) {
    expect_same_bits(draw(name, 1, values.size()), floats(values), name);
  }
}

TEST(AffineGolden, FakeQuantizationIsTorchsToTheBit) {
  ASSERT_FALSE(golden().at("fake_quantization").empty());
  for (const json& golden_case : golden().at("fake_quantization")) {
    const std::vector<float> x = floats(golden_case.at("x"));
    const auto shape = golden_case.at("shape").get<std::vector<int64_t>>();
    const AffineGrid grid = grid_of(golden_case);
    std::vector<float> y(x.size());
    fake_quantize(x, shape, grid, y, kSerial);
    expect_same_bits(y, floats(golden_case.at("y")), golden_case.at("name"));
    const std::vector<uint8_t> codes = quantize_affine(x, shape, grid, kSerial);
    dequantize_affine(codes, shape, grid, std::span<float>(y), kSerial);
    expect_same_bits(y, floats(golden_case.at("y")), golden_case.at("name").get<std::string>() + ", codes");
  }
}

TEST(AffineGolden, RowsHaveTheRangesOfTorchsChannels) {
  ASSERT_FALSE(golden().at("rows").empty());
  for (const json& golden_case : golden().at("rows")) {
    const std::vector<float> x = floats(golden_case.at("x"));
    const auto shape = golden_case.at("shape").get<std::vector<int64_t>>();
    std::vector<float> y(x.size());
    fake_quantize_rows(x, shape[0], shape[1], 8, /*symmetric=*/false, y, kSerial);
    expect_same_bits(y, floats(golden_case.at("y")), golden_case.at("name"));
    const AffineGrid grid = observe_weight(x, shape, {Observer::kChannel, 8, false, 0}, kSerial);
    EXPECT_EQ(grid.scales, floats(golden_case.at("scales")));
    EXPECT_EQ(grid.zero_points, golden_case.at("zero_points").get<std::vector<int32_t>>());
  }
}

TEST(AffineGolden, MinMaxGridsAreTorchs) {
  ASSERT_FALSE(golden().at("min_max_ranges").empty());
  for (const json& golden_case : golden().at("min_max_ranges")) {
    const std::string name = golden_case.at("distribution");
    const std::vector<float> x = draw(name, golden_case.at("seed"), golden_case.at("count"));
    const int bits = golden_case.at("bits");
    const bool symmetric = golden_case.at("symmetric");
    const auto size = static_cast<int64_t>(x.size());
    const AffineGrid grid = observe_weight(x, {{size}}, {Observer::kTensor, bits, symmetric, 0}, kSerial);
    EXPECT_EQ(grid.scales[0], golden_case.at("scale").get<float>()) << name << ", " << bits << " bits";
    EXPECT_EQ(grid.zero_points[0], golden_case.at("zero_point").get<int32_t>())
        << name << ", " << bits << " bits";
    RunningObserver running(Observer::kTensor);
    running.observe(x, kSerial);
    EXPECT_EQ(running.grid(bits, symmetric).scales, grid.scales) << name;
    EXPECT_EQ(running.grid(bits, symmetric).zero_points, grid.zero_points) << name;
  }
}

// All values of a case, and the batches they came in.
struct HistogramCase {
  explicit HistogramCase(const json& golden_case)
      : bits(golden_case.at("bits")), squared_error(golden_case.at("squared_error")) {
    const std::string name = golden_case.at("distribution");
    for (uint64_t batch = 0; batch < golden_case.at("num_batches"); ++batch) {
      batches.push_back(
          draw(name, golden_case.at("seed").get<uint64_t>() + 50 * batch, golden_case.at("count")));
      for (float& value : batches.back()) value *= static_cast<float>(1 << (batch % 3));
      all.insert(all.end(), batches.back().begin(), batches.back().end());
    }
    what = name + ", " + std::to_string(bits) + " bits, " + std::to_string(batches.size()) + " batches";
  }
  double error_of(const AffineGrid& grid) const {
    return affine_squared_error(all, {{static_cast<int64_t>(all.size())}}, grid, kSerial);
  }

  int bits;
  double squared_error;  // of torch's observer
  std::vector<std::vector<float>> batches;
  std::vector<float> all;
  std::string what;
};

TEST(AffineGolden, HistogramRangesOfWeightsAreAtLeastAsGoodAsTorchs) {
  ASSERT_FALSE(golden().at("weight_histograms").empty());
  for (const json& golden_case : golden().at("weight_histograms")) {
    const HistogramCase data(golden_case);
    const ObserveOptions options{Observer::kHistogram, data.bits, false, 0};
    const std::vector<int64_t> shape = {static_cast<int64_t>(data.all.size())};
    EXPECT_LE(data.error_of(observe_weight(data.all, shape, options, kSerial)), data.squared_error)
        << data.what;
  }
}

TEST(AffineGolden, HistogramRangesOfActivationsAreAtLeastAsGoodAsTorchs) {
  ASSERT_FALSE(golden().at("activation_histograms").empty());
  for (const json& golden_case : golden().at("activation_histograms")) {
    const HistogramCase data(golden_case);
    RunningObserver running(Observer::kHistogram);
    for (const std::vector<float>& batch : data.batches) running.observe(batch, kSerial);
    EXPECT_LE(data.error_of(running.grid(data.bits, false)), data.squared_error) << data.what;
  }
}

}  // namespace
}  // namespace quantnoise::codec
