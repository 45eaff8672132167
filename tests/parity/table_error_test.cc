// The bounds of look-up tables on inputs that a trained model's layers meet (`bin/table_error` measures them
// on models of any size).

#include "../../bench/table_error.h"

#include <gtest/gtest.h>

#include "../train/run_fixture.h"
#include "quantnoise/base/error.h"
#include "quantnoise/text/data_folder.h"

namespace quantnoise::test {
namespace {

using runtime::Arithmetic;

class TableError : public RunFixture {
 protected:
  /// A model that learned its text, with product codes of `num_centroids` in every layer.
  pack::ModelFile trained_model(int num_centroids) const {
    train("dense", {{"decoder-embed-dim", "64"},
                    {"decoder-ffn-embed-dim", "256"},
                    {"decoder-attention-heads", "4"},
                    {"quant-noise-pq", "0.1"},
                    {"max-update", "150"}});
    quantize({{"model", path("dense/model.qn")},
              {"config", quantization_config(num_centroids)},
              {"output", path("pq.qn")}});
    return pack::read_model_file(path("pq.qn"));
  }
  std::vector<runtime::ScoredTokens> some_text() const {
    const auto stream = text::DataFolder::open(data()).stream("valid");
    std::vector<int64_t> tokens(257);
    stream->read(0, tokens);
    std::vector<runtime::ScoredTokens> texts;
    for (auto at = tokens.begin(); at + 16 < tokens.end(); at += 16)
      texts.push_back({{at, at + 16}, {at + 1, at + 17}});
    return texts;
  }
};

TEST_F(TableError, KeepsItsBoundInEveryLayerOfATrainedModel) {
  for (const int num_centroids : {16, 256}) {
    const pack::ModelFile file = trained_model(num_centroids);
    const auto layers = bench::record_inputs(file, "trained", some_text(), 256);
    ASSERT_EQ(layers.size(), 13u) << "six a layer, and the output";
    bool has_zeros = false;
    for (const bench::RecordedInputs& layer : layers) {
      ASSERT_EQ(layer.n, 256);
      const auto zeros = std::count(layer.x.begin(), layer.x.end(), 0.0f);
      has_zeros |= zeros * 4 > static_cast<int64_t>(layer.x.size());
      const std::vector<double> exact = bench::exact_products(layer);
      const auto fast = bench::table_error(layer, exact, Arithmetic::kFast);
      const auto precise = bench::table_error(layer, exact, Arithmetic::kPrecise);
      EXPECT_LE(fast.all, 2e-4) << layer.layer;
      EXPECT_LE(precise.all, 1e-8) << layer.layer;
      EXPECT_GT(fast.all, precise.all) << layer.layer;
      EXPECT_GT(precise.all, 0) << layer.layer;
    }
    EXPECT_TRUE(has_zeros) << "of the ReLU, before fc2";
  }
}

}  // namespace
}  // namespace quantnoise::test
