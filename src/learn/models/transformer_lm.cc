#include "quantnoise/models/transformer_lm.h"

#include "learn/models/transformer_decoder.h"
#include "quantnoise/base/error.h"
#include "quantnoise/quant/slot.h"

namespace quantnoise::models {

namespace {

class TransformerLm : public LanguageModel {
 public:
  explicit TransformerLm(const TransformerLmOptions& options) : options_(options) {
    decoder_ = register_module("decoder", TransformerDecoder(options));
    // Slots draw their noise by the names of their paths.
    quant::named_slots(*this);
  }

  at::Tensor features(const at::Tensor& tokens, DecoderCache* cache) override {
    return decoder_->forward(tokens, cache);
  }
  at::Tensor output(const at::Tensor& features) override { return decoder_->head().logits(features); }
  at::Tensor nll_sum(const at::Tensor& features, const at::Tensor& targets) override {
    return decoder_->head().nll_sum(features, targets, is_training());
  }
  at::Tensor target_log_probs(const at::Tensor& features, const at::Tensor& targets) override {
    return decoder_->head().target_log_probs(features, targets, is_training());
  }
  int64_t max_positions() const override { return options_.max_target_positions; }
  std::string architecture() const override { return "transformer_lm"; }
  std::string options_json() const override { return to_json(options_); }

 private:
  TransformerLmOptions options_;
  TransformerDecoder decoder_{nullptr};
};

void require_positive(const char* name, int64_t value) {
  QN_REQUIRE(value > 0, ErrorKind::kConfig, name, ": found ", value, ", expected at least 1");
}

void require_rate(const char* name, double value) {
  QN_REQUIRE(value >= 0 && value < 1, ErrorKind::kConfig, name, ": found ", value,
             ", expected at least 0 and less than 1");
}

TransformerLmOptions checked(TransformerLmOptions options) {
  if (options.decoder_input_dim == 0) options.decoder_input_dim = options.decoder_embed_dim;
  if (options.decoder_output_dim == 0) options.decoder_output_dim = options.decoder_embed_dim;
  require_positive("vocabulary", options.vocab_size);
  require_positive("decoder-embed-dim", options.decoder_embed_dim);
  require_positive("decoder-input-dim", options.decoder_input_dim);
  require_positive("decoder-output-dim", options.decoder_output_dim);
  require_positive("decoder-ffn-embed-dim", options.decoder_ffn_embed_dim);
  require_positive("decoder-layers", options.decoder_layers);
  require_positive("max-target-positions", options.max_target_positions);
  require_rate("dropout", options.dropout);
  require_rate("attention-dropout", options.attention_dropout);
  require_rate("activation-dropout", options.activation_dropout);
  require_rate("decoder-layerdrop", options.decoder_layerdrop);
  QN_REQUIRE(options.padding_idx < options.vocab_size, ErrorKind::kConfig, "padding index: found ",
             options.padding_idx, ", expected less than the vocabulary of ", options.vocab_size);
  const int64_t heads = options.decoder_attention_heads;
  QN_REQUIRE(heads > 0 && options.decoder_embed_dim % heads == 0, ErrorKind::kConfig,
             "decoder-attention-heads: found ", heads, ", expected a divisor of decoder-embed-dim ",
             options.decoder_embed_dim);
  QN_REQUIRE(
      !options.share_decoder_input_output_embed || options.decoder_input_dim == options.decoder_output_dim,
      ErrorKind::kConfig, "share-decoder-input-output-embed: found decoder-input-dim ",
      options.decoder_input_dim, " and decoder-output-dim ", options.decoder_output_dim,
      ", expected the same");
  return options;
}

}  // namespace

std::shared_ptr<LanguageModel> make_transformer_lm(const TransformerLmOptions& options) {
  return std::make_shared<TransformerLm>(checked(options));
}

}  // namespace quantnoise::models
