#pragma once
// Adaptive softmax (Grave et al. 2017): a head over the frequent words and one class for each further band,
// and a smaller softmax inside each of those bands.

#include <torch/torch.h>

#include <vector>

#include "learn/models/adaptive_bands.h"
#include "learn/models/output_head.h"
#include "quantnoise/nn/loss.h"

namespace quantnoise::models {

/// Children as fairseq names them: head (or head.word_proj and head.class_proj with tied weights), and for
/// the band i + 1: tail.{i}.0, the projection to its width, and tail.{i}.2, its table. All weights xavier
/// uniform but those that are tied to the input's. Dropout on the features and behind the projections of the
/// tails.
class AdaptiveSoftmaxImpl : public torch::nn::Module {
 public:
  /// tied: the adaptive input whose tables (and projections) are shared; null: nothing is.
  AdaptiveSoftmaxImpl(const TransformerLmOptions& options, const AdaptiveInputImpl* tied);

  /// As LanguageModel::nll_sum and target_log_probs. Only padding is left out; the reference also leaves out
  /// the second word of every tail.
  at::Tensor nll_sum(const at::Tensor& features, const at::Tensor& targets);
  at::Tensor target_log_probs(const at::Tensor& features, const at::Tensor& targets);
  /// Log probabilities of all words: (…, dim) → (…, vocabulary) fp32. No gradient.
  at::Tensor log_probs(const at::Tensor& features);

 private:
  /// The projection of a tail: of its own, or the transpose of the input's.
  struct Tail {
    Band band;
    nn::Linear own_projection{nullptr};
    nn::TransposedLinear tied_projection{nullptr};
    nn::Linear table{nullptr};
  };

  void make_head(const AdaptiveInputImpl* tied);
  void make_tails(const AdaptiveInputImpl* tied, bool tie_projections);
  at::Tensor drop(const at::Tensor& x, const std::string& purpose) const;
  /// Features (n, dim) of one band, projected to its width.
  at::Tensor project(Tail& tail, size_t number, const at::Tensor& features);
  /// The class of each target in the head.
  at::Tensor head_targets(const at::Tensor& targets) const;
  nn::ChunkedLossOptions loss_options(int64_t padding_idx) const;

  int64_t dim_;
  int64_t padding_idx_;
  double dropout_;
  std::vector<Band> bands_;
  nn::Linear head_input_{nullptr};  ///< the head's layer, or the first of two that read one input
  nn::OutputSlots head_;            ///< rows: the words of band 0, then a class a tail
  std::vector<Tail> tails_;
};
TORCH_MODULE(AdaptiveSoftmax);

/// To be registered as "adaptive_softmax".
class AdaptiveHead : public OutputHead {
 public:
  AdaptiveHead(const TransformerLmOptions& options, const AdaptiveInputImpl* tied)
      : softmax_(options, tied) {}
  at::Tensor logits(const at::Tensor& features) override { return softmax_->log_probs(features); }
  at::Tensor nll_sum(const at::Tensor& features, const at::Tensor& targets, bool) override {
    return softmax_->nll_sum(features, targets);
  }
  at::Tensor target_log_probs(const at::Tensor& features, const at::Tensor& targets, bool) override {
    return softmax_->target_log_probs(features, targets);
  }
  const AdaptiveSoftmax& module() const { return softmax_; }

 private:
  AdaptiveSoftmax softmax_;
};

}  // namespace quantnoise::models
