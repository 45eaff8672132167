#pragma once
// Text from a language model: prompt in, continuation out, with the attention caches.

#include <torch/torch.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "quantnoise/models/transformer_lm.h"
#include "quantnoise/search/sampling.h"
#include "quantnoise/text/dictionary.h"
#include "quantnoise/text/tokenizer.h"

namespace quantnoise::train {

/// A torch language model as search sees it. The model must outlive it and be in eval mode.
class LanguageModelScorer : public search::Scorer {
 public:
  explicit LanguageModelScorer(models::LanguageModel& model) : model_(model) {}
  int64_t max_positions() const override { return model_.max_positions(); }
  std::span<const float> start(std::span<const int64_t> prompt, int64_t num_sequences) override;
  std::span<const float> advance(std::span<const int64_t> tokens) override;

 private:
  /// Logits of the last position of tokens (n, T); the cache grows by T.
  at::Tensor last_logits(const at::Tensor& tokens);
  std::span<const float> logits_span() const;

  models::LanguageModel& model_;
  models::DecoderCache cache_;
  at::Tensor logits_;  // (num_sequences, vocabulary), fp32, contiguous
};

struct GeneratedText {
  std::string prompt;       ///< as the model read it
  std::string text;         ///< prompt and continuation
  int64_t num_tokens = 0;   ///< of the continuation
  double log_prob = 0;      ///< Σ ln p of the continuation
  bool ended = false;       ///< met </s>
  int64_t num_unknown = 0;  ///< words of the prompt that the dictionary lacks
};

/// Continues one line of text (empty: starts a new one). </s> before the prompt opens the line, as in
/// training. <s> and <pad> are never chosen. With stop_at_eos, a sample ends with its line; otherwise lines
/// follow each other. Errors: as search::generate.
std::vector<GeneratedText> generate_text(models::LanguageModel& model, const text::Dictionary& dictionary,
                                         const text::Tokenizer& tokenizer, const std::string& prompt,
                                         search::GenerateOptions options, bool stop_at_eos = true);

}  // namespace quantnoise::train
