#pragma once
// The perplexity of a text under a language model, with the windows and sums of `qn eval-lm`.

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "quantnoise/runtime/language_model.h"
#include "quantnoise/search/word_scores.h"
#include "quantnoise/text/token_blocks.h"

namespace quantnoise::runtime {

struct ScoreOptions {
  int64_t tokens_per_sample = 1024;  ///< of sample and context together
  text::BreakMode sample_break_mode = text::BreakMode::kNone;
  int64_t context_window = 0;           ///< tokens before each sample that are seen, not scored
  int64_t output_dictionary_size = -1;  ///< ≥ 0: targets from here on become <unk>
  int64_t batch_tokens = 8192;          ///< samples that pass together have about so many tokens
  /// The scored targets of one sample with their ln p.
  std::function<void(int64_t sample, std::span<const int64_t> targets, std::span<const float> log_probs)>
      on_sample;
  /// Samples done and in all.
  std::function<void(int64_t done, int64_t total)> on_progress;
};

/// What the file remembers of its training, and max_positions where it remembers nothing. Errors: kFormat for
/// stored values that cannot be.
ScoreOptions score_options(const LanguageModel& model);

struct ScoreResult {
  search::NllSum sum;
  int64_t num_samples = 0;
  int64_t num_too_long = 0;  ///< samples that exceed the model's positions: left out, with a warning
};

/// Sums in the order of the samples. Errors: kConfig when the context leaves no room for a sample, or samples
/// exceed the model's positions; kData as Session::log_probs; kNumeric when a score is not a number.
ScoreResult score(Session& session, std::shared_ptr<const text::TokenStream> stream,
                  const ScoreOptions& options);

/// The lines of a text as the model reads them, each with </s>. Errors: kData for a text without lines.
std::shared_ptr<const text::TokenStream> encode_text(const LanguageModel& model, std::string_view text);

}  // namespace quantnoise::runtime
