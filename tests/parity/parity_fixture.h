#pragma once
// Random language models as files, compressed in every way, and both wings to score them.

#include <gmock/gmock.h>

#include <cmath>
#include <random>

#include "../base/temporary_folder.h"
#include "quantnoise/base/file.h"
#include "quantnoise/base/parallel.h"
#include "quantnoise/codec/affine.h"
#include "quantnoise/nn/activation.h"
#include "quantnoise/runtime/score.h"
#include "quantnoise/text/data_folder.h"
#include "quantnoise/text/indexed_dataset.h"
#include "quantnoise/train/evaluate.h"
#include "quantnoise/train/model_io.h"

namespace quantnoise::parity_test {

using models::TransformerLmOptions;

inline constexpr int64_t kVocabulary = 96;

inline TransformerLmOptions base_options() {
  TransformerLmOptions options;
  options.vocab_size = kVocabulary;
  options.decoder_embed_dim = 32;
  options.decoder_ffn_embed_dim = 64;
  options.decoder_layers = 2;
  options.decoder_attention_heads = 4;
  options.decoder_normalize_before = true;
  options.share_decoder_input_output_embed = true;
  options.max_target_positions = 48;
  return options;
}

inline TransformerLmOptions adaptive_options(bool tie_weights, bool tie_projections) {
  TransformerLmOptions options = base_options();
  options.share_decoder_input_output_embed = false;
  options.adaptive_input = true;
  options.adaptive_input_cutoff = {24, 60};
  options.adaptive_input_factor = 2;
  options.adaptive_softmax_cutoff = {24, 60};
  options.adaptive_softmax_factor = 2;
  options.tie_adaptive_weights = tie_weights;
  options.tie_adaptive_proj = tie_projections;
  return options;
}

/// Architectures by name: each option of transformer_lm at least once.
inline std::vector<std::pair<std::string, TransformerLmOptions>> architectures() {
  std::vector<std::pair<std::string, TransformerLmOptions>> all;
  const auto add = [&](const std::string& name, const auto& change) {
    TransformerLmOptions options = base_options();
    change(options);
    all.emplace_back(name, options);
  };
  add("prenorm_tied", [](TransformerLmOptions&) {});
  add("postnorm_untied", [](TransformerLmOptions& o) {
    o.decoder_normalize_before = false;
    o.share_decoder_input_output_embed = false;
  });
  add("learned_positions", [](TransformerLmOptions& o) { o.decoder_learned_pos = true; });
  add("no_positions", [](TransformerLmOptions& o) { o.no_token_positional_embeddings = true; });
  add("no_final_norm_no_scale", [](TransformerLmOptions& o) {
    o.no_decoder_final_norm = true;
    o.no_scale_embedding = true;
  });
  add("projected", [](TransformerLmOptions& o) {
    o.decoder_input_dim = 16;
    o.decoder_output_dim = 16;
  });
  add("shared_layers", [](TransformerLmOptions& o) {
    o.decoder_layers = 4;
    o.share_layers = 2;
  });
  add("pruned_to_one_layer", [](TransformerLmOptions& o) { o.decoder_layers = 1; });
  add("one_head", [](TransformerLmOptions& o) { o.decoder_attention_heads = 1; });
  add("narrow_heads", [](TransformerLmOptions& o) { o.decoder_attention_heads = 16; });
  for (const std::string& name : nn::activation_names())
    add("activation_" + name, [&](TransformerLmOptions& o) { o.activation_fn = name; });
  all.emplace_back("adaptive_untied", adaptive_options(false, false));
  all.emplace_back("adaptive_tied", adaptive_options(true, false));
  all.emplace_back("adaptive_tied_proj", adaptive_options(true, true));
  TransformerLmOptions input_only = adaptive_options(false, false);
  input_only.adaptive_softmax_cutoff = {};
  all.emplace_back("adaptive_input_alone", input_only);
  TransformerLmOptions softmax_only = adaptive_options(false, false);
  softmax_only.adaptive_input = false;
  all.emplace_back("adaptive_softmax_alone", softmax_only);
  return all;
}

/// What becomes of every weight matrix.
using Compress = codec::PackedWeight (*)(const codec::PackedWeight& dense);

inline codec::PackedWeight keep(const codec::PackedWeight& dense) { return dense; }

template <codec::ScalarType kType>
codec::PackedWeight half_precision(const codec::PackedWeight& dense) {
  codec::PackedWeight packed = codec::pack_dense(codec::unpack_to_float(dense), dense.shape, kType);
  packed.zero_row = dense.zero_row;
  return packed;
}

template <int kBlock, int kCentroids>
codec::PackedWeight product(const codec::PackedWeight& dense) {
  if (dense.cols() % kBlock != 0) return dense;
  codec::KMeansOptions options;
  options.num_centroids = kCentroids;
  options.iterations = 3;
  const auto matrix = codec::quantize_product(codec::unpack_to_float(dense), dense.rows(), dense.cols(),
                                              kBlock, options, base::SerialFor());
  codec::PackedWeight packed = codec::pack_product(matrix, dense.shape);
  packed.zero_row = dense.zero_row;
  return packed;
}

/// Centroids as int8 with the scale of the largest.
inline codec::PackedWeight product_int8(const codec::PackedWeight& dense) {
  codec::PackedWeight packed = product<4, 16>(dense);
  if (packed.scheme != codec::Scheme::kProduct) return packed;
  const std::vector<float> centroids = codec::unpack_product(packed).centroids;
  float largest = 1e-6f;
  for (const float value : centroids) largest = std::max(largest, std::abs(value));
  packed.centroid_type = codec::ScalarType::kI8;
  packed.centroid_scale = largest / 127;
  std::vector<std::byte> integers;
  for (const float value : centroids)
    integers.push_back(
        static_cast<std::byte>(static_cast<int8_t>(std::lround(value / packed.centroid_scale))));
  packed.centroids = codec::ByteBlock::own(std::move(integers));
  return packed;
}

template <int kBits, bool kByChannel>
codec::PackedWeight affine(const codec::PackedWeight& dense) {
  const std::vector<float> values = codec::unpack_to_float(dense);
  std::vector<codec::AffineRange> ranges;
  const int64_t count = kByChannel ? dense.cols() : dense.numel();
  for (int64_t begin = 0; begin < dense.numel(); begin += count) {
    const auto [low, high] = std::minmax_element(values.begin() + begin, values.begin() + begin + count);
    ranges.push_back({*low, *high});
  }
  const auto grid = codec::affine_grid(ranges, kBits, /*symmetric=*/false, kByChannel ? 0 : -1);
  return codec::pack_affine(values, dense.shape, grid, base::SerialFor(), dense.zero_row);
}

inline const std::vector<std::pair<std::string, Compress>>& schemes() {
  static const std::vector<std::pair<std::string, Compress>> all = {
      {"fp32", keep},
      {"fp16", half_precision<codec::ScalarType::kF16>},
      {"bf16", half_precision<codec::ScalarType::kBF16>},
      {"pq256", product<8, 256>},
      {"pq16", product<4, 16>},
      {"pq5", product<2, 5>},
      {"pq300", product<4, 300>},
      {"pq16_int8", product_int8},
      {"int8", affine<8, true>},
      {"int4", affine<4, true>},
      {"int3_tensor", affine<3, false>}};
  return all;
}

inline text::Dictionary dictionary() {
  text::Dictionary words;
  while (words.size() < kVocabulary) words.add_symbol("w" + std::to_string(words.size()));
  return words;
}

/// A data folder whose split "test" holds random sentences.
inline void write_data(const std::string& folder, int num_sentences) {
  dictionary().save(folder + "/dict.txt");
  std::mt19937 random(5);
  text::IndexedDatasetWriter writer(folder + "/test", text::TokenType::kUint16);
  for (int sentence = 0; sentence < num_sentences; ++sentence) {
    std::vector<int64_t> tokens;
    for (unsigned i = 0; i < 3 + random() % 12; ++i)
      tokens.push_back(static_cast<int64_t>(3 + random() % (kVocabulary - 3)));
    tokens.push_back(text::kEos);
    writer.add(tokens);
  }
  writer.finish();
}

class Parity : public testing::Test {
 protected:
  void SetUp() override { write_data(folder_.path(), 24); }

  /// A random model, its matrices compressed, as a file.
  pack::ModelFile make_file(const TransformerLmOptions& options, Compress compress) const {
    torch::manual_seed(3);
    const auto model = models::make_transformer_lm(options);
    {
      // Norms and biases begin as ones and zeros: nothing would show when they were left out.
      torch::NoGradGuard no_grad;
      for (auto& parameter : model->parameters()) {
        if (parameter.dim() == 1) parameter.add_(torch::randn_like(parameter), 0.2);
      }
    }
    pack::ModelFile file = train::pack_model(*model, dictionary(), "space");
    for (auto& [name, weight] : file.weights) weight = compress(weight);
    return file;
  }

  /// Torch's evaluation of the values that a file holds.
  train::LoadedModel load_in_torch(const pack::ModelFile& compressed) const {
    pack::ModelFile dense = compressed;
    for (auto& [name, weight] : dense.weights) weight = half_precision<codec::ScalarType::kF32>(weight);
    pack::write_model_file(folder_.file("dense.qn"), dense);
    return train::load_model(folder_.file("dense.qn"));
  }

  double torch_loss(const train::LoadedModel& loaded, const runtime::ScoreOptions& windows) const {
    train::LmEvaluationOptions options;
    options.tokens_per_sample = windows.tokens_per_sample;
    options.sample_break_mode = windows.sample_break_mode;
    options.context_window = windows.context_window;
    const auto data = data::LanguageModelData::open(folder_.path());
    return train::evaluate_lm(*loaded.model, data, "test", options).sum.loss();
  }

  double runtime_loss(const std::shared_ptr<const runtime::LanguageModel>& model,
                      const runtime::ScoreOptions& windows,
                      const runtime::SessionOptions& options = {}) const {
    runtime::Session session(model, options);
    const auto data = text::DataFolder::open(folder_.path());
    return runtime::score(session, data.stream("test"), windows).sum.loss();
  }

  static runtime::ScoreOptions windows_of(const TransformerLmOptions& options, text::BreakMode mode,
                                          int64_t context) {
    runtime::ScoreOptions windows;
    windows.tokens_per_sample = options.max_target_positions;
    windows.sample_break_mode = mode;
    windows.context_window = context;
    return windows;
  }

  quantnoise::test::TemporaryFolder folder_;
};

// 1e-4 relative in perplexity: the loss in bits is its logarithm.
inline void expect_same_perplexity(double found_loss, double expected_loss, const std::string& what) {
  EXPECT_NEAR(std::exp2(found_loss - expected_loss), 1.0, 1e-4) << what;
}

}  // namespace quantnoise::parity_test
