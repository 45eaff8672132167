#pragma once
// Where a decoder's input vectors come from. Plain embeddings here; other kinds register other modules under
// the same name.

#include <torch/torch.h>

#include <memory>

#include "quantnoise/models/transformer_lm.h"

namespace quantnoise::models {

class AdaptiveInputImpl;

class TokenInput {
 public:
  virtual ~TokenInput() = default;
  /// tokens: int64 (batch, T) → fp32 (batch, T, decoder_input_dim), not scaled; an adaptive input projects to
  /// decoder_embed_dim itself.
  virtual at::Tensor embed(const at::Tensor& tokens) = 0;
  /// The table that an output projection may share; null when there is no single one.
  virtual const nn::SlotLayer* tied_table() const = 0;
  /// The bands that an adaptive softmax may share; null when there are none.
  virtual const AdaptiveInputImpl* adaptive() const { return nullptr; }
};

/// An embedding table, to be registered as "embed_tokens": N(0, dim^-1/2), padding row zero.
class EmbeddingInput : public TokenInput {
 public:
  explicit EmbeddingInput(const TransformerLmOptions& options);
  at::Tensor embed(const at::Tensor& tokens) override { return table_->forward(tokens); }
  const nn::SlotLayer* tied_table() const override { return table_.get(); }
  const nn::Embedding& table() const { return table_; }

 private:
  nn::Embedding table_;
};

}  // namespace quantnoise::models
