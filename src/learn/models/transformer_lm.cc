#include "quantnoise/models/transformer_lm.h"

#include "learn/models/transformer_decoder.h"
#include "quantnoise/quant/activation.h"

namespace quantnoise::models {

namespace {

class TransformerLm : public LanguageModel {
 public:
  explicit TransformerLm(const TransformerLmOptions& options) : options_(options) {
    decoder_ = register_module("decoder", TransformerDecoder(options));
    // Slots and inputs draw their noise by the names of their paths.
    quant::named_slots(*this);
    quant::named_activations(*this);
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
  bool has_adaptive_softmax() const override { return options_.has_adaptive_softmax(); }
  int64_t max_positions() const override { return options_.max_target_positions; }
  std::string architecture() const override { return "transformer_lm"; }
  std::string options_json() const override { return to_json(options_); }

 private:
  TransformerLmOptions options_;
  TransformerDecoder decoder_{nullptr};
};

}  // namespace

std::shared_ptr<LanguageModel> make_transformer_lm(const TransformerLmOptions& options) {
  return std::make_shared<TransformerLm>(architecture::checked_options(options));
}

}  // namespace quantnoise::models
