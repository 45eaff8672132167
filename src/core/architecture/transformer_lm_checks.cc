#include "quantnoise/architecture/transformer_lm.h"
#include "quantnoise/base/error.h"

namespace quantnoise::architecture {

namespace {

// Sums and products of two dimensions fit 64 bits.
constexpr int64_t kLargestDimension = int64_t{1} << 31;
// A file of a few bytes can ask for any number of layers that share their weights.
constexpr int64_t kMostLayers = 10'000;

void require_positive(const char* name, int64_t value, int64_t most = kLargestDimension) {
  QN_REQUIRE(value > 0, ErrorKind::kConfig, name, ": found ", value, ", expected at least 1");
  QN_REQUIRE(value <= most, ErrorKind::kConfig, name, ": found ", value, ", expected at most ", most);
}

void require_rate(const char* name, double value) {
  QN_REQUIRE(value >= 0 && value < 1, ErrorKind::kConfig, name, ": found ", value,
             ", expected at least 0 and less than 1");
}

void check_sharing(const TransformerLmOptions& options) {
  require_positive("share-layers", options.share_layers);
  QN_REQUIRE(options.decoder_layers % options.share_layers == 0, ErrorKind::kConfig, "share-layers: found ",
             options.share_layers, ", expected a divisor of the ", options.decoder_layers, " decoder-layers");
}

// What fairseq asserts of ties.
void check_ties(const TransformerLmOptions& options) {
  QN_REQUIRE(options.has_adaptive_softmax() && options.adaptive_input, ErrorKind::kConfig,
             "tie-adaptive-weights: expected adaptive-input and adaptive-softmax-cutoff with it");
  QN_REQUIRE(options.adaptive_input_cutoff == options.adaptive_softmax_cutoff, ErrorKind::kConfig,
             "tie-adaptive-weights: found adaptive-input-cutoff ", join(options.adaptive_input_cutoff, ","),
             " and adaptive-softmax-cutoff ", join(options.adaptive_softmax_cutoff, ","),
             ", expected the same");
  QN_REQUIRE(options.adaptive_input_factor == options.adaptive_softmax_factor, ErrorKind::kConfig,
             "tie-adaptive-weights: found adaptive-input-factor ", options.adaptive_input_factor,
             " and adaptive-softmax-factor ", options.adaptive_softmax_factor, ", expected the same");
  QN_REQUIRE(options.decoder_input_dim == options.decoder_output_dim &&
                 options.decoder_output_dim == options.decoder_embed_dim,
             ErrorKind::kConfig, "tie-adaptive-weights: found decoder-input-dim ", options.decoder_input_dim,
             ", decoder-embed-dim ", options.decoder_embed_dim, " and decoder-output-dim ",
             options.decoder_output_dim, ", expected the same");
}

void check_adaptive(const TransformerLmOptions& options) {
  require_rate("adaptive-softmax-dropout", options.adaptive_softmax_dropout);
  if (options.tie_adaptive_weights) check_ties(options);
  QN_REQUIRE(!options.tie_adaptive_proj || options.tie_adaptive_weights, ErrorKind::kConfig,
             "tie-adaptive-proj: expected tie-adaptive-weights with it");
  QN_REQUIRE(
      !options.share_decoder_input_output_embed ||
          !(options.adaptive_input || options.has_adaptive_softmax()),
      ErrorKind::kConfig,
      "share-decoder-input-output-embed: found adaptive-input or adaptive-softmax-cutoff with it; the tie of "
      "those is tie-adaptive-weights");
}

}  // namespace

TransformerLmOptions checked_options(TransformerLmOptions options) {
  if (options.decoder_input_dim == 0) options.decoder_input_dim = options.decoder_embed_dim;
  if (options.decoder_output_dim == 0) options.decoder_output_dim = options.decoder_embed_dim;
  require_positive("vocabulary", options.vocab_size);
  require_positive("decoder-embed-dim", options.decoder_embed_dim);
  require_positive("decoder-input-dim", options.decoder_input_dim);
  require_positive("decoder-output-dim", options.decoder_output_dim);
  require_positive("decoder-ffn-embed-dim", options.decoder_ffn_embed_dim);
  require_positive("decoder-layers", options.decoder_layers, kMostLayers);
  require_positive("max-target-positions", options.max_target_positions);
  require_rate("dropout", options.dropout);
  require_rate("attention-dropout", options.attention_dropout);
  require_rate("activation-dropout", options.activation_dropout);
  require_rate("decoder-layerdrop", options.decoder_layerdrop);
  QN_REQUIRE(options.padding_idx >= 0 && options.padding_idx < options.vocab_size, ErrorKind::kConfig,
             "padding index: found ", options.padding_idx, ", expected 0 to ", options.vocab_size - 1);
  const int64_t heads = options.decoder_attention_heads;
  QN_REQUIRE(heads > 0 && options.decoder_embed_dim % heads == 0, ErrorKind::kConfig,
             "decoder-attention-heads: found ", heads, ", expected a divisor of decoder-embed-dim ",
             options.decoder_embed_dim);
  QN_REQUIRE(
      !options.share_decoder_input_output_embed || options.decoder_input_dim == options.decoder_output_dim,
      ErrorKind::kConfig, "share-decoder-input-output-embed: found decoder-input-dim ",
      options.decoder_input_dim, " and decoder-output-dim ", options.decoder_output_dim,
      ", expected the same");
  check_sharing(options);
  check_adaptive(options);
  return options;
}

}  // namespace quantnoise::architecture
