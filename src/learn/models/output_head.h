#pragma once
// What turns features into probabilities. A full projection here; other kinds (adaptive) stand behind the
// same interface.

#include <torch/torch.h>

#include <memory>

#include "learn/models/token_input.h"

namespace quantnoise::models {

class OutputHead {
 public:
  virtual ~OutputHead() = default;
  virtual at::Tensor logits(const at::Tensor& features) = 0;
  /// As LanguageModel::nll_sum and target_log_probs; training: noise on the weights.
  virtual at::Tensor nll_sum(const at::Tensor& features, const at::Tensor& targets, bool training) = 0;
  virtual at::Tensor target_log_probs(const at::Tensor& features, const at::Tensor& targets,
                                      bool training) = 0;
};

/// One product with a (vocabulary, output_dim) weight, to be registered as "output_projection": tied to the
/// input's table, or of its own, N(0, dim^-1/2).
class ProjectionHead : public OutputHead {
 public:
  ProjectionHead(const TransformerLmOptions& options, const TokenInput& input);
  at::Tensor logits(const at::Tensor& features) override { return projection_->forward(features); }
  at::Tensor nll_sum(const at::Tensor& features, const at::Tensor& targets, bool training) override;
  at::Tensor target_log_probs(const at::Tensor& features, const at::Tensor& targets, bool training) override;
  const nn::Linear& projection() const { return projection_; }

 private:
  nn::Linear projection_{nullptr};
  int64_t padding_idx_;
};

}  // namespace quantnoise::models
