// Quantized inputs of products: what the runtime makes of a file is what the trainer's evaluation makes of
// it, for weights of every kind, static and dynamic.

#include "learn/train/calibrate.h"
#include "parity_fixture.h"
#include "quantnoise/quant/activation.h"
#include "quantnoise/runtime/generate.h"
#include "quantnoise/train/generate.h"

namespace quantnoise::parity_test {
namespace {

using quant::ActivationMode;

/// Every way in which tables are tied, and both orders of norms.
std::vector<std::pair<std::string, TransformerLmOptions>> input_architectures() {
  TransformerLmOptions post_norm = base_options();
  post_norm.decoder_normalize_before = false;
  post_norm.decoder_learned_pos = true;
  post_norm.share_decoder_input_output_embed = false;
  TransformerLmOptions projected = base_options();
  projected.decoder_input_dim = 16;
  projected.decoder_output_dim = 16;
  return {{"post-norm, learned positions", post_norm},
          {"projected", projected},
          {"adaptive", adaptive_options(false, false)},
          {"adaptive, tied", adaptive_options(true, false)},
          {"adaptive, all tied", adaptive_options(true, true)}};
}

const std::vector<std::pair<std::string, Compress>>& input_schemes() {
  static const std::vector<std::pair<std::string, Compress>> all = {{"int8 by tensor", affine<8, false>},
                                                                    {"int8 by channel", affine<8, true>},
                                                                    {"int4 by channel", affine<4, true>},
                                                                    {"pq, int8 centroids", product_int8},
                                                                    {"pq, fp16 centroids", product<8, 256>}};
  return all;
}

const std::vector<std::pair<std::string, ActivationMode>> kModes = {{"static", ActivationMode::kStatic},
                                                                    {"dynamic", ActivationMode::kDynamic}};

// An input next to the middle between two codes may be rounded to either side of it, by the least difference
// in what comes before, and the layers behind see another value. That happens to one element in 100,000 where
// products are exact to fp32, and to one in some hundred behind tables of 16 bits. Differences are of either
// sign: a text of some ten thousand tokens evens them out.
class QuantizedInputs : public Parity {
 protected:
  void SetUp() override { write_data(folder_.path(), 1000); }
  /// A file whose layers quantize their inputs; static ranges are calibrated as `qn quantize --calibrate`
  /// does. `range`: clips calibrated ranges to this share, so that values lie outside.
  std::string write_model(const TransformerLmOptions& options, Compress compress, ActivationMode mode,
                          int bits, float range = 1) const {
    pack::write_model_file(folder_.file("weights.qn"), make_file(options, compress));
    const train::LoadedModel loaded = train::load_model(folder_.file("weights.qn"));
    quant::ActivationOptions inputs;
    inputs.mode = mode;
    inputs.bits = bits;
    quant::quantize_activations(*loaded.model, inputs);
    train::CalibrationData data;
    data.folder = folder_.path();
    data.split = "test";
    data.tokens_per_sample = options.max_target_positions;
    train::calibrate_activations(*loaded.model, loaded.dictionary, data);
    pack::ModelFile file = train::pack_model(*loaded.model, loaded.dictionary, "space");
    EXPECT_GE(file.activations.layers.size(), 13u);
    for (auto& [layer, grid] : file.activations.layers) grid.scale *= range;
    const std::string path = folder_.file("model.qn");
    pack::write_model_file(path, file);
    return path;
  }

  void expect_parity(const std::string& path, const TransformerLmOptions& options,
                     const std::string& what) const {
    const auto windows = windows_of(options, text::BreakMode::kNone, 8);
    const double found = runtime_loss(runtime::LanguageModel::open(path), windows, {.num_threads = 2});
    expect_same_perplexity(found, torch_loss(train::load_model(path), windows), what);
  }
};

TEST_F(QuantizedInputs, EveryScheme) {
  for (const auto& [scheme, compress] : input_schemes()) {
    for (const auto& [name, mode] : kModes) {
      expect_parity(write_model(base_options(), compress, mode, 8), base_options(),
                    str_cat(scheme, ", ", name));
    }
  }
}

TEST_F(QuantizedInputs, EveryArchitecture) {
  const std::vector<std::tuple<std::string, Compress, ActivationMode>> cases = {
      {"int8, static", affine<8, true>, ActivationMode::kStatic},
      {"int4, dynamic", affine<4, true>, ActivationMode::kDynamic},
      {"pq with int8 centroids, static", product_int8, ActivationMode::kStatic}};
  for (const auto& [architecture, options] : input_architectures()) {
    for (const auto& [name, compress, mode] : cases)
      expect_parity(write_model(options, compress, mode, 8), options, str_cat(architecture, ", ", name));
  }
}

// As generation computes: tables for product codes.
TEST_F(QuantizedInputs, ByTables) {
  const auto windows = windows_of(base_options(), text::BreakMode::kNone, 8);
  for (const auto& [scheme, compress] : input_schemes()) {
    for (const auto& [name, mode] : kModes) {
      const auto model = runtime::LanguageModel::open(write_model(base_options(), compress, mode, 8));
      const double decoded = runtime_loss(model, windows, {.method = runtime::Method::kDecode});
      const double tables = runtime_loss(model, windows, {.method = runtime::Method::kLookup});
      EXPECT_NEAR(std::exp2(tables - decoded), 1.0, 5e-4) << scheme << ", " << name;
    }
  }
}

// Half of the calibrated range: many values clip, and both sides clip the same.
TEST_F(QuantizedInputs, ValuesOutOfRange) {
  for (const auto& [scheme, compress] : input_schemes()) {
    const std::string path = write_model(base_options(), compress, ActivationMode::kStatic, 8, 0.5f);
    expect_parity(path, base_options(), scheme);
  }
}

TEST_F(QuantizedInputs, FewBitsAreHonouredAndFelt) {
  const TransformerLmOptions options = base_options();
  const auto windows = windows_of(options, text::BreakMode::kNone, 8);
  for (const auto& [name, mode] : kModes) {
    for (const int bits : {2, 3, 5}) {
      const std::string path = write_model(options, affine<8, true>, mode, bits);
      expect_parity(path, options, str_cat(bits, " bits, ", name));
      pack::ModelFile without = pack::read_model_file(path);
      without.activations = {};
      const double quantized = runtime_loss(runtime::LanguageModel::open(path), windows);
      const double plain = runtime_loss(runtime::LanguageModel::from_file(without, "plain"), windows);
      EXPECT_GT(std::abs(std::exp2(quantized - plain) - 1), 3e-4) << bits << " bits, " << name;
    }
  }
}

// Integers all the way: what generation computes is what torch does.
TEST_F(QuantizedInputs, TheSameWordsAreChosen) {
  for (const auto& [name, mode] : kModes) {
    for (const Compress compress : {affine<8, true>, affine<4, true>}) {
      const std::string path = write_model(base_options(), compress, mode, 8);
      const auto loaded = train::load_model(path);
      runtime::Session session(runtime::LanguageModel::open(path));
      search::GenerateOptions generation;
      generation.max_length = 20;
      generation.num_samples = 2;
      const std::string prompt = "w5 w9 unheard w40";
      const auto expected = train::generate_text(*loaded.model, loaded.dictionary, text::space_tokenizer(),
                                                 prompt, generation, /*stop_at_eos=*/false);
      const auto found = runtime::generate_text(session, {&prompt, 1}, generation, false).front();
      ASSERT_EQ(found.size(), expected.size());
      for (size_t i = 0; i < found.size(); ++i) EXPECT_EQ(found[i].text, expected[i].text) << name;
    }
  }
}

}  // namespace
}  // namespace quantnoise::parity_test
