#include "learn/models/transformer_decoder.h"
#include "quantnoise/base/error.h"
#include "quantnoise/nn/dropout.h"

namespace quantnoise::models {

TransformerDecoderLayerImpl::TransformerDecoderLayerImpl(const TransformerLmOptions& options,
                                                         const std::string& path)
    : path_(path),
      normalize_before_(options.decoder_normalize_before),
      dropout_(options.dropout),
      activation_dropout_(options.activation_dropout),
      activation_(nn::parse_activation(options.activation_fn)) {
  const int64_t dim = options.decoder_embed_dim;
  self_attn_ = register_module(
      "self_attn", nn::MultiheadAttention(nn::MultiheadAttentionOptions(dim, options.decoder_attention_heads)
                                              .dropout(options.attention_dropout)));
  self_attn_layer_norm_ = register_module("self_attn_layer_norm", nn::LayerNorm(dim));
  fc1_ = register_module("fc1", nn::Linear(dim, options.decoder_ffn_embed_dim));
  fc2_ = register_module("fc2", nn::Linear(options.decoder_ffn_embed_dim, dim));
  final_layer_norm_ = register_module("final_layer_norm", nn::LayerNorm(dim));
}

at::Tensor TransformerDecoderLayerImpl::before(nn::ResidualStream& stream, nn::LayerNorm& norm) {
  return normalize_before_ ? stream.normalized(norm) : stream.sum();
}

void TransformerDecoderLayerImpl::after(nn::ResidualStream& stream, at::Tensor branch,
                                        const std::string& name, nn::LayerNorm& norm) {
  stream.add(std::move(branch), is_training() ? dropout_ : 0.0, nn::activation_stream(name));
  if (!normalize_before_) stream.normalize(norm);
}

void TransformerDecoderLayerImpl::forward(nn::ResidualStream& stream, nn::AttentionCache* cache,
                                          int64_t pass) {
  const std::string suffix = pass == 0 ? "" : str_cat(".pass", pass);
  const std::string name = path_ + suffix;
  at::Tensor mixed =
      self_attn_->forward(before(stream, self_attn_layer_norm_), /*causal=*/true, {}, cache, suffix);
  after(stream, std::move(mixed), name + ".self_attn.dropout", self_attn_layer_norm_);
  const at::Tensor hidden = fc1_->activated(before(stream, final_layer_norm_), activation_,
                                            is_training() ? activation_dropout_ : 0.0,
                                            nn::activation_stream(name + ".activation_dropout"));
  after(stream, fc2_->forward(hidden), name + ".dropout", final_layer_norm_);
}

}  // namespace quantnoise::models
