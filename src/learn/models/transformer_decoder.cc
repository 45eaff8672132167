#include "learn/models/transformer_decoder.h"

#include <cmath>

#include "learn/models/adaptive_input.h"
#include "learn/models/adaptive_softmax.h"
#include "quantnoise/base/error.h"
#include "quantnoise/nn/dropout.h"
#include "quantnoise/nn/layer_drop.h"

namespace quantnoise::models {

namespace {

nn::Linear make_projection(int64_t in, int64_t out) {
  nn::Linear projection(in, out, false);
  const at::NoGradGuard no_grad;
  torch::nn::init::xavier_uniform_(projection->weight());
  return projection;
}

}  // namespace

TransformerDecoderImpl::TransformerDecoderImpl(const TransformerLmOptions& options)
    : options_(options),
      embed_scale_(options.no_scale_embedding ? 1.0
                                              : std::sqrt(static_cast<double>(options.decoder_embed_dim))) {
  make_input();
  make_layers();
  make_output();
}

void TransformerDecoderImpl::make_input() {
  if (options_.adaptive_input) {
    auto input = std::make_unique<AdaptiveTokenInput>(options_);
    register_module("embed_tokens", input->module());
    input_ = std::move(input);
  } else {
    auto input = std::make_unique<EmbeddingInput>(options_);
    register_module("embed_tokens", input->table());
    input_ = std::move(input);
  }
  if (options_.decoder_input_dim != options_.decoder_embed_dim && !options_.adaptive_input) {
    project_in_dim_ = register_module(
        "project_in_dim", make_projection(options_.decoder_input_dim, options_.decoder_embed_dim));
  }
  if (options_.no_token_positional_embeddings) return;
  if (options_.decoder_learned_pos) {
    learned_positions_ = register_module(
        "embed_positions", nn::make_learned_positions(options_.max_target_positions,
                                                      options_.decoder_embed_dim, options_.padding_idx));
  } else {
    fixed_positions_.emplace(options_.decoder_embed_dim, options_.padding_idx);
  }
}

void TransformerDecoderImpl::make_layers() {
  torch::nn::ModuleList list;
  for (int64_t i = 0; i < options_.decoder_layers / options_.share_layers; ++i) {
    layers_.emplace_back(options_, str_cat("decoder.layers.", i));
    list->push_back(layers_.back());
  }
  register_module("layers", list);
}

void TransformerDecoderImpl::make_output() {
  if (options_.decoder_normalize_before && !options_.no_decoder_final_norm) {
    layer_norm_ = register_module("layer_norm", nn::LayerNorm(options_.decoder_embed_dim));
  }
  if (options_.decoder_output_dim != options_.decoder_embed_dim && !options_.tie_adaptive_weights) {
    project_out_dim_ = register_module(
        "project_out_dim", make_projection(options_.decoder_embed_dim, options_.decoder_output_dim));
  }
  if (options_.has_adaptive_softmax()) {
    auto head = std::make_unique<AdaptiveHead>(options_,
                                               options_.tie_adaptive_weights ? input_->adaptive() : nullptr);
    register_module("adaptive_softmax", head->module());
    head_ = std::move(head);
    return;
  }
  auto head = std::make_unique<ProjectionHead>(options_, *input_);
  register_module("output_projection", head->projection());
  head_ = std::move(head);
}

at::Tensor TransformerDecoderImpl::positions(const at::Tensor& tokens, int64_t past) {
  const at::Tensor indices = nn::position_indices(tokens, options_.padding_idx, past);
  if (fixed_positions_) return fixed_positions_->rows(indices);
  QN_REQUIRE(past + tokens.size(1) <= options_.max_target_positions, ErrorKind::kData, "found ",
             past + tokens.size(1), " positions, expected at most ", options_.max_target_positions,
             " (max-target-positions) with learned positions");
  return learned_positions_->forward(indices);
}

at::Tensor TransformerDecoderImpl::embed(const at::Tensor& tokens, int64_t past) {
  at::Tensor x = input_->embed(tokens);
  // The scale comes before the projection, as in fairseq; without one it joins the addition.
  double scale = embed_scale_;
  if (project_in_dim_) {
    x = project_in_dim_->forward(x * scale).to(at::kFloat);
    scale = 1.0;
  }
  if (fixed_positions_ || learned_positions_) {
    x = at::add(positions(tokens, past), x, scale);
  } else if (scale != 1.0) {
    x = x * scale;
  }
  return nn::dropout(x, rate(options_.dropout), nn::activation_stream("decoder.dropout"));
}

at::Tensor TransformerDecoderImpl::forward(const at::Tensor& tokens, DecoderCache* cache) {
  QN_REQUIRE(tokens.dim() == 2 && tokens.scalar_type() == at::kLong, ErrorKind::kData, "tokens: found ",
             tokens.scalar_type(), " ", tokens.sizes(), ", expected int64 (batch, T)");
  if (cache != nullptr) cache->resize(static_cast<size_t>(options_.decoder_layers));
  const bool has_past = cache != nullptr && !cache->empty() && cache->front().key.defined();
  const int64_t past = has_past ? cache->front().key.size(2) : 0;
  nn::ResidualStream stream(embed(tokens, past));
  for (int64_t i = 0; i < options_.decoder_layers; ++i) {
    if (nn::layer_is_dropped("decoder.layerdrop", i, options_.decoder_layerdrop, is_training())) continue;
    nn::AttentionCache* past_of_layer = cache != nullptr ? &(*cache)[static_cast<size_t>(i)] : nullptr;
    layers_[static_cast<size_t>(i / options_.share_layers)]->forward(stream, past_of_layer,
                                                                     i % options_.share_layers);
  }
  at::Tensor features = layer_norm_ ? stream.normalized(layer_norm_) : stream.sum();
  if (project_out_dim_) features = project_out_dim_->forward(features);
  return features;
}

}  // namespace quantnoise::models
