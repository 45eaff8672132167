#pragma once
// Text from a language model: prompt in, continuation out, with the attention caches.

#include <torch/torch.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "quantnoise/models/transformer_lm.h"
#include "quantnoise/search/text_generation.h"
#include "quantnoise/text/dictionary.h"
#include "quantnoise/text/tokenizer.h"

namespace quantnoise::train {

/// A torch language model as search sees it. The model must outlive it and be in eval mode.
class LanguageModelScorer : public search::Scorer {
 public:
  explicit LanguageModelScorer(models::LanguageModel& model) : model_(model) {}
  int64_t max_positions() const override { return model_.max_positions(); }
  std::span<const float> start(std::span<const search::Tokens> prompts, int64_t num_sequences) override;
  std::span<const float> advance(std::span<const int64_t> tokens) override;
  void select(std::span<const int64_t> parents) override;

 private:
  /// Logits of the last position of tokens (n, T); the cache grows by T.
  at::Tensor last_logits(const at::Tensor& tokens);
  std::span<const float> logits_span() const;

  models::LanguageModel& model_;
  models::DecoderCache cache_;
  at::Tensor logits_;  // (num_sequences, vocabulary), fp32, contiguous
};

using search::GeneratedText;

/// Continues one line of text (search/text_generation.h).
std::vector<GeneratedText> generate_text(models::LanguageModel& model, const text::Dictionary& dictionary,
                                         const text::Tokenizer& tokenizer, const std::string& prompt,
                                         const search::GenerateOptions& options, bool stop_at_eos = true);

}  // namespace quantnoise::train
