#include "core/runtime/transformer_decoder.h"

#include <algorithm>
#include <cmath>

#include "quantnoise/base/error.h"

namespace quantnoise::runtime {

TransformerDecoder::TransformerDecoder(const architecture::TransformerLmOptions& options, Plan& plan)
    : options_(options),
      dim_(options.decoder_embed_dim),
      output_dim_(options.tie_adaptive_weights ? options.decoder_embed_dim : options.decoder_output_dim),
      embed_scale_(options.no_scale_embedding ? 1.0f
                                              : static_cast<float>(std::sqrt(static_cast<double>(dim_)))),
      activation_(parse_activation(options.activation_fn)),
      input_(options, plan),
      positions_(options, plan) {
  if (input_.dim() != dim_)
    project_in_ = plan.linear("decoder.project_in_dim", input_.dim(), dim_, Bias::kNone);
  for (int64_t i = 0; i < options.decoder_layers / options.share_layers; ++i)
    layers_.push_back(make_layer(i, plan));
  if (options.decoder_normalize_before && !options.no_decoder_final_norm)
    norm_ = plan.layer_norm("decoder.layer_norm", dim_);
  if (output_dim_ != dim_)
    project_out_ = plan.linear("decoder.project_out_dim", dim_, output_dim_, Bias::kNone);
  head_ = make_output_head(options, plan);
  positions_.prepare();
}

TransformerDecoder::Layer TransformerDecoder::make_layer(int64_t number, Plan& plan) const {
  const std::string path = str_cat("decoder.layers.", number), attention = path + ".self_attn";
  const auto projection = [&](const char* name) {
    return plan.linear(attention + name, dim_, dim_, Bias::kYes);
  };
  Linear query = projection(".q_proj"), key = projection(".k_proj"), value = projection(".v_proj");
  const int64_t hidden = options_.decoder_ffn_embed_dim;
  return {SelfAttention(std::move(query), std::move(key), std::move(value), projection(".out_proj")),
          plan.layer_norm(path + ".self_attn_layer_norm", dim_),
          plan.linear(path + ".fc1", dim_, hidden, Bias::kYes),
          plan.linear(path + ".fc2", hidden, dim_, Bias::kYes),
          plan.layer_norm(path + ".final_layer_norm", dim_)};
}

std::vector<LayerCache> TransformerDecoder::new_caches() const {
  const int64_t heads = options_.decoder_attention_heads;
  return {static_cast<size_t>(options_.decoder_layers), LayerCache({heads, dim_ / heads})};
}

int64_t TransformerDecoder::floats_a_row() const {
  // Stream and branch, q, k, v and what attention mixes, hidden layer, quantized input.
  return 6 * dim_ + options_.decoder_ffn_embed_dim + std::max(dim_, options_.decoder_ffn_embed_dim);
}

// Into buffers.stream.
void TransformerDecoder::embed(std::span<const PlacedToken> tokens, DecoderBuffers& buffers,
                               Context& context) const {
  const auto n = static_cast<int64_t>(tokens.size());
  std::vector<int64_t> numbers;
  for (const PlacedToken& placed : tokens) numbers.push_back(placed.token);
  float* stream = buffers.stream.resize(n * dim_);
  float* input = project_in_ ? buffers.hidden.resize(n * input_.dim()) : stream;
  input_.forward(numbers, input, context);
  for (int64_t i = 0; i < n * input_.dim(); ++i) input[i] *= embed_scale_;
  if (project_in_) project_in_->forward(input, n, stream, context);
  if (options_.no_token_positional_embeddings) return;
  for (int64_t row = 0; row < n; ++row)
    positions_.add(tokens[static_cast<size_t>(row)].position, stream + row * dim_);
}

void TransformerDecoder::run_layer(const Layer& layer, size_t application, int64_t n,
                                   std::span<const Segment> segments, DecoderBuffers& buffers,
                                   Context& context) const {
  const bool before = options_.decoder_normalize_before;
  float* stream = buffers.stream.data();
  float* branch = buffers.branch.resize(n * dim_);
  if (before) layer.attention_norm.forward(stream, n, branch, context);
  layer.attention.forward(before ? branch : stream, n, segments, application, branch, buffers.attention,
                          context);
  add(branch, n * dim_, stream);
  if (!before) layer.attention_norm.forward(stream, n, stream, context);

  float* hidden = buffers.hidden.resize(n * layer.fc1.out_features());
  if (before) layer.final_norm.forward(stream, n, branch, context);
  layer.fc1.forward(before ? branch : stream, n, hidden, context);
  activate(activation_, hidden, n * layer.fc1.out_features(), context);
  layer.fc2.forward(hidden, n, branch, context);
  add(branch, n * dim_, stream);
  if (!before) layer.final_norm.forward(stream, n, stream, context);
}

const float* TransformerDecoder::forward(std::span<const PlacedToken> tokens,
                                         std::span<const Segment> segments, DecoderBuffers& buffers,
                                         Context& context) const {
  const auto n = static_cast<int64_t>(tokens.size());
  embed(tokens, buffers, context);
  for (int64_t i = 0; i < options_.decoder_layers; ++i) {
    run_layer(layers_[static_cast<size_t>(i / options_.share_layers)], static_cast<size_t>(i), n, segments,
              buffers, context);
  }
  float* features = buffers.stream.data();
  if (norm_) norm_->forward(features, n, features, context);
  if (!project_out_) return features;
  float* projected = buffers.hidden.resize(n * output_dim_);
  project_out_->forward(features, n, projected, context);
  return projected;
}

}  // namespace quantnoise::runtime
