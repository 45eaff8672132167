#pragma once
// The options of fairseq's transformer_lm as model files store them (its names and defaults): what
// both wings build the model from.

#include <cstdint>
#include <string>
#include <vector>

namespace quantnoise::architecture {

struct TransformerLmOptions {
  int64_t vocab_size = 0;
  int64_t padding_idx = 1;
  int64_t decoder_embed_dim = 512;
  int64_t decoder_input_dim = 0;   ///< 0: decoder_embed_dim
  int64_t decoder_output_dim = 0;  ///< 0: decoder_embed_dim
  int64_t decoder_ffn_embed_dim = 2048;
  int64_t decoder_layers = 6;
  int64_t decoder_attention_heads = 8;
  bool decoder_normalize_before = false;
  bool no_decoder_final_norm = false;
  bool decoder_learned_pos = false;
  bool no_token_positional_embeddings = false;
  bool no_scale_embedding = false;
  bool share_decoder_input_output_embed = false;
  std::string activation_fn = "relu";
  double dropout = 0.1;
  double attention_dropout = 0.0;
  double activation_dropout = 0.0;  ///< fairseq's --relu-dropout counts when this is 0
  double decoder_layerdrop = 0.0;
  int64_t max_target_positions = 1024;
  int64_t share_layers = 1;  ///< this many neighbours are one layer, applied as often; divides decoder_layers

  bool adaptive_input = false;  ///< tables by bands of the vocabulary, narrower for rarer words
  std::vector<int64_t> adaptive_input_cutoff = {};    ///< where bands end, rising; the last may be left out
  double adaptive_input_factor = 4;                   ///< band i has width input_dim / factor^i
  std::vector<int64_t> adaptive_softmax_cutoff = {};  ///< empty: one projection to the whole vocabulary
  double adaptive_softmax_dropout = 0;
  double adaptive_softmax_factor = 4;
  bool tie_adaptive_weights = false;  ///< output tables are the input's
  bool tie_adaptive_proj = false;     ///< output projections are the input's, transposed

  bool has_adaptive_softmax() const { return !adaptive_softmax_cutoff.empty(); }
};

/// One JSON object with the option names of fairseq (dashes as underscores); the inverse checks names and
/// types, and leaves what is not named at its default. Errors: kFormat.
std::string to_json(const TransformerLmOptions& options);
TransformerLmOptions transformer_lm_options_from_json(const std::string& json);

/// The options with the widths that were left at 0 filled in. Errors: kConfig for dimensions that do not fit
/// together.
TransformerLmOptions checked_options(TransformerLmOptions options);

}  // namespace quantnoise::architecture
