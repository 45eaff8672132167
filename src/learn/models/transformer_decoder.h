#pragma once
// fairseq's TransformerDecoder without encoder attention: layers and their stack.

#include <torch/torch.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "learn/models/output_head.h"
#include "learn/models/token_input.h"
#include "quantnoise/nn/activation.h"
#include "quantnoise/nn/attention.h"
#include "quantnoise/nn/fused.h"
#include "quantnoise/nn/layer_norm.h"
#include "quantnoise/nn/positions.h"

namespace quantnoise::models {

/// Self-attention and feed-forward on a residual stream, pre- or post-norm.
class TransformerDecoderLayerImpl : public torch::nn::Module {
 public:
  /// path: of this layer in the model; names the random streams of its dropouts.
  TransformerDecoderLayerImpl(const TransformerLmOptions& options, const std::string& path);
  /// pass: of a layer that is applied several times, the number of times before.
  void forward(nn::ResidualStream& stream, nn::AttentionCache* cache, int64_t pass);

 private:
  at::Tensor before(nn::ResidualStream& stream, nn::LayerNorm& norm);
  void after(nn::ResidualStream& stream, at::Tensor branch, const std::string& name, nn::LayerNorm& norm);

  std::string path_;
  bool normalize_before_;
  double dropout_;
  double activation_dropout_;
  nn::Activation activation_;
  nn::MultiheadAttention self_attn_{nullptr};
  nn::LayerNorm self_attn_layer_norm_{nullptr};
  nn::Linear fc1_{nullptr}, fc2_{nullptr};
  nn::LayerNorm final_layer_norm_{nullptr};
};
TORCH_MODULE(TransformerDecoderLayer);

class TransformerDecoderImpl : public torch::nn::Module {
 public:
  explicit TransformerDecoderImpl(const TransformerLmOptions& options);
  /// As LanguageModel::features.
  at::Tensor forward(const at::Tensor& tokens, DecoderCache* cache);
  OutputHead& head() { return *head_; }

 private:
  void make_input();
  void make_layers();
  void make_output();
  at::Tensor embed(const at::Tensor& tokens, int64_t past);
  at::Tensor positions(const at::Tensor& tokens, int64_t past);
  double rate(double p) const { return is_training() ? p : 0.0; }

  TransformerLmOptions options_;
  double embed_scale_;
  std::unique_ptr<TokenInput> input_;
  std::unique_ptr<OutputHead> head_;
  nn::Linear project_in_dim_{nullptr}, project_out_dim_{nullptr};
  nn::Embedding learned_positions_{nullptr};
  std::optional<nn::SinusoidalPositions> fixed_positions_;
  std::vector<TransformerDecoderLayer> layers_;  ///< each applied share_layers times
  nn::LayerNorm layer_norm_{nullptr};
};
TORCH_MODULE(TransformerDecoder);

}  // namespace quantnoise::models
