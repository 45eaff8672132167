#pragma once
// fairseq's transformer_lm on weight slots: module names and initialisation are fairseq's.

#include <torch/torch.h>

#include <memory>
#include <string>
#include <vector>

#include "quantnoise/architecture/transformer_lm.h"
#include "quantnoise/nn/attention.h"
#include "quantnoise/nn/linear.h"

namespace quantnoise::models {

using architecture::to_json;
using architecture::transformer_lm_options_from_json;
using architecture::TransformerLmOptions;

/// Keys and values of all layers for generation.
using DecoderCache = std::vector<nn::AttentionCache>;

/// What the trainer, evaluation and generation see of a language model.
class LanguageModel : public torch::nn::Module {
 public:
  /// tokens: int64 (batch, T), right-padded with padding_idx → features (batch, T, output_dim) before the
  /// output projection. With a cache: tokens holds the new positions only; `cache` (one entry a layer) grows.
  virtual at::Tensor features(const at::Tensor& tokens, DecoderCache* cache = nullptr) = 0;
  /// Logits (…, vocab_size) of features (…, output_dim), in the compute type; of an adaptive softmax, log
  /// probabilities in fp32.
  virtual at::Tensor output(const at::Tensor& features) = 0;
  /// Summed negative log-likelihood (natural log, fp32 scalar, differentiable) of targets (batch, T); padding
  /// ignored. Logits are computed in chunks of rows and never kept in fp32 all at once.
  virtual at::Tensor nll_sum(const at::Tensor& features, const at::Tensor& targets) = 0;
  /// log p(target) for each position (batch, T) fp32; 0 at padding. No gradient.
  virtual at::Tensor target_log_probs(const at::Tensor& features, const at::Tensor& targets) = 0;
  virtual bool has_adaptive_softmax() const { return false; }
  virtual int64_t max_positions() const = 0;
  virtual std::string architecture() const = 0;
  virtual std::string options_json() const = 0;
};

/// A new model, initialised by torch's default CPU generator (torch::manual_seed before makes it
/// reproducible). Errors: kConfig for dimensions that do not fit together.
std::shared_ptr<LanguageModel> make_transformer_lm(const TransformerLmOptions& options);

}  // namespace quantnoise::models
