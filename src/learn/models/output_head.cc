#include "learn/models/output_head.h"

#include <cmath>

#include "quantnoise/base/error.h"
#include "quantnoise/nn/loss.h"

namespace quantnoise::models {

EmbeddingInput::EmbeddingInput(const TransformerLmOptions& options)
    : table_(nn::EmbeddingOptions(options.vocab_size, options.decoder_input_dim)
                 .padding_idx(options.padding_idx)) {
  const at::NoGradGuard no_grad;
  at::Tensor weight = table_->weight();
  weight.normal_(0, std::pow(static_cast<double>(options.decoder_input_dim), -0.5));
  if (options.padding_idx >= 0) weight[options.padding_idx].zero_();
}

ProjectionHead::ProjectionHead(const TransformerLmOptions& options, const TokenInput& input)
    : projection_(options.decoder_output_dim, options.vocab_size, false), padding_idx_(options.padding_idx) {
  if (options.share_decoder_input_output_embed) {
    QN_INVARIANT(input.tied_table() != nullptr);
    projection_->tie_to(*input.tied_table());
    return;
  }
  const at::NoGradGuard no_grad;
  projection_->weight().normal_(0, std::pow(static_cast<double>(options.decoder_output_dim), -0.5));
}

at::Tensor ProjectionHead::nll_sum(const at::Tensor& features, const at::Tensor& targets, bool training) {
  nn::ChunkedLossOptions options;
  options.padding_idx = padding_idx_;
  options.training = training;
  return nn::chunked_nll_sum(projection_->quantized(features), projection_->slot(), targets, options);
}

at::Tensor ProjectionHead::target_log_probs(const at::Tensor& features, const at::Tensor& targets,
                                            bool training) {
  nn::ChunkedLossOptions options;
  options.padding_idx = padding_idx_;
  options.training = training;
  return nn::chunked_target_log_probs(projection_->quantized(features), projection_->slot(), targets,
                                      options);
}

}  // namespace quantnoise::models
