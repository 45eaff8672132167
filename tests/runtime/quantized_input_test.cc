// Inputs of products are quantized as the file says: static with its grid, dynamic by rows, all others not.
// The weights are identities, so that products are the inputs as the layer took them.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "core/runtime/plan.h"
#include "golden_model.h"
#include "quantnoise/base/error.h"
#include "quantnoise/base/random.h"
#include "quantnoise/codec/affine.h"
#include "quantnoise/runtime/language_model.h"

namespace quantnoise::runtime {
namespace {

using testing::HasSubstr;

constexpr int64_t kDim = 16;
constexpr float kInfinity = std::numeric_limits<float>::infinity();
const std::string kLayer = "decoder.layers.0.fc1";

enum class Weight { kDense, kInt8, kProduct };
constexpr Weight kWeights[] = {Weight::kDense, Weight::kInt8, Weight::kProduct};

/// The identity. Product codes: of blocks of 4, with int8 centroids.
codec::PackedWeight identity(Weight kind) {
  std::vector<float> values(kDim * kDim, 0.0f);
  for (int64_t i = 0; i < kDim; ++i) values[static_cast<size_t>(i * kDim + i)] = 1;
  const std::vector<int64_t> shape = {kDim, kDim};
  if (kind == Weight::kDense) return codec::pack_dense(values, shape, codec::ScalarType::kF32);
  if (kind == Weight::kInt8) return codec::pack_affine(values, shape, {8, -1, {1}, {3}}, base::SerialFor());
  codec::ProductMatrix matrix{kDim, kDim, 4, 5, std::vector<float>(20, 0.0f), {}};
  for (int64_t n = 0; n < kDim * kDim / 4; ++n)
    matrix.codes.push_back(static_cast<uint16_t>(n % 4 == n / 16 ? 1 + n / 4 % 4 : 0));
  codec::PackedWeight weight = codec::pack_product(matrix, shape);
  std::vector<std::byte> centroids(20, std::byte{0});
  for (size_t i = 0; i < 4; ++i) centroids[(i + 1) * 4 + i] = std::byte{1};
  weight.centroid_type = codec::ScalarType::kI8;
  weight.centroids = codec::ByteBlock::own(std::move(centroids));
  return weight;
}

struct Layer {
  Layer(Weight weight, pack::ActivationMode mode, pack::ActivationGrid grid) {
    pack::ModelFile file;
    file.weights[kLayer + ".weight"] = identity(weight);
    file.activations.mode = mode;
    if (mode != pack::ActivationMode::kNone) file.activations.layers[kLayer] = grid;
    Plan plan(file);
    linear.emplace(plan.linear(kLayer, kDim, kDim, Bias::kNone));
    report = plan.finish().front();
    context.multiply.workspace = &workspace;
  }
  /// What arrives of x (…, kDim).
  std::vector<float> operator()(const std::vector<float>& x, Method method = Method::kAuto) {
    std::vector<float> y(x.size(), std::numeric_limits<float>::quiet_NaN());
    context.multiply.method = method;
    linear->forward(x.data(), static_cast<int64_t>(x.size()) / kDim, y.data(), context);
    return y;
  }

  std::optional<Linear> linear;
  LayerReport report;
  Workspace workspace;
  Context context;
};

std::vector<float> gaussian(int64_t count, uint64_t seed) {
  base::SequentialRandom random(seed);
  std::vector<float> values;
  for (int64_t i = 0; i < count; ++i) {
    const double radius = std::sqrt(-2 * std::log1p(-static_cast<double>(random.uniform())));
    values.push_back(static_cast<float>(radius * std::cos(6.283185307179586 * random.uniform())));
  }
  return values;
}

/// codec/affine.h, equation by equation.
float on_grid(float x, const pack::ActivationGrid& grid) {
  const float code = std::nearbyint(x * (1.0f / grid.scale)) + static_cast<float>(grid.zero_point);
  const float clipped = std::min(std::max(code, 0.0f), static_cast<float>((1 << grid.bits) - 1));
  return grid.scale * (clipped - static_cast<float>(grid.zero_point));
}

/// The grid from the smallest to the largest value of a row, widened to hold 0.
pack::ActivationGrid row_grid(const float* row, int bits) {
  const auto [low, high] = std::minmax_element(row, row + kDim);
  const codec::AffineRange range{std::min(*low, 0.0f), std::max(*high, 0.0f)};
  const codec::AffineGrid grid = codec::affine_grid({&range, 1}, bits, false);
  return {bits, grid.scales[0], grid.zero_points[0]};
}

// Tables of 16 bits are exact to 1e-8, squared and relative; everything else to rounding.
void expect_near(const std::vector<float>& found, const std::vector<float>& expected,
                 const std::string& what) {
  ASSERT_EQ(found.size(), expected.size());
  double largest = 0;
  for (const float value : expected) largest = std::max(largest, std::abs(double{value}));
  for (size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], 3e-4 * largest) << what << i;
}

TEST(QuantizedInput, StaticTakesTheGridOfTheFile) {
  for (const Weight weight : kWeights) {
    for (int bits = 2; bits <= 8; ++bits) {
      const pack::ActivationGrid grid{bits, 4.0f / static_cast<float>(1 << bits), 1 << (bits - 2)};
      Layer layer(weight, pack::ActivationMode::kStatic, grid);
      EXPECT_EQ(layer.report.input, str_cat("int", bits, " static"));
      for (const int64_t n : {1, 3, 40}) {
        const std::vector<float> x = gaussian(n * kDim, 3);
        std::vector<float> expected;
        for (const float value : x) expected.push_back(on_grid(value, grid));
        for (const Method method : {Method::kAuto, Method::kLookup, Method::kDecode})
          expect_near(layer(x, method), expected, str_cat(bits, " bits, ", n, " rows, element "));
      }
    }
  }
}

TEST(QuantizedInput, HalvesAreRoundedToEven) {
  Layer layer(Weight::kDense, pack::ActivationMode::kStatic, {8, 0.5f, 100});
  std::vector<float> x(kDim, 0.0f);
  const float halves[] = {0.25f, 0.75f, 1.25f, -0.25f, -0.75f, -1.25f};
  const float rounded[] = {0, 1, 1, 0, -1, -1};
  std::copy(std::begin(halves), std::end(halves), x.begin());
  const std::vector<float> y = layer(x);
  for (size_t i = 0; i < std::size(halves); ++i) EXPECT_EQ(y[i], rounded[i]) << halves[i];
}

// Nothing comes back from the other side of an end, however far out it lies.
TEST(QuantizedInput, ValuesOutOfRangeClip) {
  const pack::ActivationGrid grid{4, 0.5f, 4};  // −2 … 5.5
  for (const Weight weight : kWeights) {
    Layer layer(weight, pack::ActivationMode::kStatic, grid);
    for (const int64_t n : {1, 20}) {
      std::vector<float> x, expected;
      for (int64_t i = 0; i < n; ++i) {
        for (const float beyond : {5.76f, 6.0f, 11.5f, 12.0f, 300.0f, 1e9f, 3e38f, kInfinity}) {
          x.insert(x.end(), {beyond, -beyond});
          expected.insert(expected.end(), {5.5f, -2.0f});
        }
      }
      expect_near(layer(x), expected, str_cat(n, " rows, element "));
    }
  }
}

TEST(QuantizedInput, DynamicTakesTheRangeOfEveryRow) {
  for (const Weight weight : kWeights) {
    for (const int bits : {2, 4, 8}) {
      Layer layer(weight, pack::ActivationMode::kDynamic, {bits, 77.0f, 1});
      EXPECT_EQ(layer.report.input, str_cat("int", bits, " dynamic"));
      for (const int64_t n : {1, 4, 40}) {
        std::vector<float> x = gaussian(n * kDim, 5);
        for (int64_t i = 0; i < n * kDim; ++i) {
          // Rows of sizes of their own; some without a negative value, some of zeros.
          const int64_t row = i / kDim;
          float& value = x[static_cast<size_t>(i)];
          value *= std::pow(3.0f, static_cast<float>(row % 5 - 2));
          if (row % 3 == 1) value = std::abs(value) + 1;
          if (row % 7 == 6) value = 0;
        }
        std::vector<float> y = layer(x);
        for (int64_t row = 0; row < n; ++row) {
          const auto begin = static_cast<size_t>(row * kDim);
          const pack::ActivationGrid grid = row_grid(x.data() + begin, bits);
          std::vector<float> expected;
          for (size_t i = begin; i < begin + kDim; ++i) expected.push_back(on_grid(x[i], grid));
          expect_near({y.begin() + row * kDim, y.begin() + (row + 1) * kDim}, expected,
                      str_cat(bits, " bits, row ", row, ", element "));
        }
      }
    }
  }
}

TEST(QuantizedInput, WithoutAnEntryInTheFileInputsStayAsTheyAre) {
  Layer layer(Weight::kDense, pack::ActivationMode::kNone, {});
  EXPECT_EQ(layer.report.input, "");
  const std::vector<float> x = gaussian(kDim, 7);
  EXPECT_EQ(layer(x), x);
}

TEST(QuantizedInput, ValuesThatAreNotNumbers) {
  std::vector<float> x(2 * kDim, 0.5f);
  x[3] = std::numeric_limits<float>::quiet_NaN();
  for (const Weight weight : kWeights) {
    Layer fixed(weight, pack::ActivationMode::kStatic, {8, 0.5f, 100});
    const std::vector<float> y = fixed(x);
    EXPECT_FALSE(std::isfinite(y[3])) << "a fixed range lets it pass, so that the score shows it";
    for (size_t i = kDim; i < 2 * kDim; ++i) EXPECT_NEAR(y[i], 0.5f, 1e-4f);
    Layer by_row(weight, pack::ActivationMode::kDynamic, {8, 1, 0});
    try {
      by_row(x);
      FAIL() << "a row's range cannot be found";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kNumeric);
      EXPECT_THAT(error.what(), HasSubstr(kLayer));
    }
  }
}

// ---- whole models
// --------------------------------------------------------------------------------------------

/// A model of tests/golden/runtime whose layers all quantize their inputs.
std::shared_ptr<const LanguageModel> quantized_model(const std::string& name, pack::ActivationMode mode) {
  pack::ModelFile file = test::golden_file(test::golden_models().at(name));
  const auto plain = LanguageModel::from_file(file, name);
  file.activations.mode = mode;
  for (const LayerReport& layer : plain->layers()) {
    if (layer.kind != "embedding") file.activations.layers[layer.name] = {6, 0.0625f, 31};
  }
  return LanguageModel::from_file(file, name);
}

std::vector<ScoredTokens> some_texts() {
  std::vector<ScoredTokens> texts;
  for (int64_t i = 0; i < 9; ++i) {
    ScoredTokens text;
    for (int64_t t = 0; t < 3 + i; ++t) {
      text.source.push_back(t == 0 ? text::kEos : 4 + (7 * i + 5 * t) % 19);
      text.target.push_back(4 + (7 * i + 5 * (t + 1)) % 19);
    }
    texts.push_back(text);
  }
  return texts;
}

class QuantizedModel : public testing::TestWithParam<std::tuple<std::string, pack::ActivationMode>> {
 protected:
  std::shared_ptr<const LanguageModel> model() const {
    return quantized_model(std::get<0>(GetParam()), std::get<1>(GetParam()));
  }
};

// A row's quantization depends on no other row: where the products do not either, results are equal to the
// bit.
TEST_P(QuantizedModel, OrderAndSizeOfBatchesDoNotMatter) {
  const auto loaded = model();
  const std::vector<ScoredTokens> texts = some_texts();
  for (const int64_t work_bytes : {int64_t{1}, int64_t{1} << 20}) {
    Session session(loaded, {.method = Method::kLookup, .work_bytes = work_bytes});
    const auto together = session.log_probs(texts);
    const std::vector<ScoredTokens> reversed(texts.rbegin(), texts.rend());
    const auto backwards = session.log_probs(reversed);
    for (size_t i = 0; i < texts.size(); ++i) {
      EXPECT_EQ(backwards[texts.size() - 1 - i], together[i]) << i;
      EXPECT_EQ(session.log_probs({&texts[i], 1}).front(), together[i]) << i;
    }
  }
}

TEST_P(QuantizedModel, AnyNumberOfThreadsGivesTheSameBits) {
  const auto loaded = model();
  for (const Method method : {Method::kAuto, Method::kLookup, Method::kDecode}) {
    const auto expected = Session(loaded, {.method = method}).log_probs(some_texts());
    for (const int threads : {2, 3, 8}) {
      EXPECT_EQ(Session(loaded, {.method = method, .num_threads = threads}).log_probs(some_texts()), expected)
          << threads << " threads";
    }
  }
}

TEST_P(QuantizedModel, TokenByTokenGivesTheSameProbabilities) {
  const auto loaded = model();
  const ScoredTokens text = some_texts().back();
  Session session(loaded, {.method = Method::kLookup});
  const std::vector<float> expected = session.log_probs({&text, 1}).front();
  const search::Tokens first = {text.source[0]};
  std::span<const float> logits = session.start({&first, 1}, 1);
  for (size_t t = 0; t < text.source.size(); ++t) {
    if (t > 0) logits = session.advance({&text.source[t], 1});
    double sum = 0;
    for (const float logit : logits) sum += std::exp(double{logit});
    EXPECT_NEAR(logits[static_cast<size_t>(text.target[t])] - std::log(sum), expected[t], 1e-4) << t;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Cases, QuantizedModel,
    testing::Combine(testing::Values("int_untied", "pq_tied", "pq_int8_centroids", "mixed_postnorm",
                                     "adaptive_untied", "adaptive_tied", "adaptive_tied_proj"),
                     testing::Values(pack::ActivationMode::kStatic, pack::ActivationMode::kDynamic)),
    [](const auto& info) {
      const bool is_static = std::get<1>(info.param) == pack::ActivationMode::kStatic;
      return std::get<0>(info.param) + (is_static ? "_static" : "_dynamic");
    });

}  // namespace
}  // namespace quantnoise::runtime
