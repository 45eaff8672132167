#pragma once
// Adaptive input embeddings: a table and a projection to the model's width for each band.

#include <torch/torch.h>

#include <vector>

#include "learn/models/adaptive_bands.h"
#include "learn/models/token_input.h"

namespace quantnoise::models {

/// Children as fairseq names them: embeddings.{band}.0 is the table, embeddings.{band}.1 the projection.
/// Tables N(0, dim^-1/2), projections xavier uniform. The padding row is zero; it lies in the first band.
/// (The reference treats row 1 of every band as padding, and so never learns the input of one word a band.)
class AdaptiveInputImpl : public torch::nn::Module {
 public:
  explicit AdaptiveInputImpl(const TransformerLmOptions& options);
  /// tokens: int64 (batch, T) → fp32 (batch, T, decoder_embed_dim).
  at::Tensor forward(const at::Tensor& tokens);
  const std::vector<Band>& bands() const { return bands_; }
  const nn::Embedding& table(size_t band) const { return tables_[band]; }
  const nn::Linear& projection(size_t band) const { return projections_[band]; }

 private:
  std::vector<Band> bands_;
  std::vector<nn::Embedding> tables_;
  std::vector<nn::Linear> projections_;
  int64_t out_dim_;
};
TORCH_MODULE(AdaptiveInput);

/// To be registered as "embed_tokens".
class AdaptiveTokenInput : public TokenInput {
 public:
  explicit AdaptiveTokenInput(const TransformerLmOptions& options) : input_(options) {}
  at::Tensor embed(const at::Tensor& tokens) override { return input_->forward(tokens); }
  const nn::SlotLayer* tied_table() const override { return nullptr; }
  const AdaptiveInputImpl* adaptive() const override { return input_.get(); }
  const AdaptiveInput& module() const { return input_; }

 private:
  AdaptiveInput input_;
};

}  // namespace quantnoise::models
