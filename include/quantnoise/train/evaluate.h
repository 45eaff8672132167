#pragma once
// Evaluation of language models (fairseq_cli/eval_lm.py). The trainer's validation and `qn
// eval-lm` both sum log-probabilities here, so that their numbers agree.

#include <torch/torch.h>

#include <cstdint>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "quantnoise/data/batching.h"
#include "quantnoise/data/dataset.h"
#include "quantnoise/models/transformer_lm.h"
#include "quantnoise/search/word_scores.h"
#include "quantnoise/text/dictionary.h"

namespace quantnoise::train {

using search::NllSum;
using search::WordScores;
using search::WordStat;

struct EvaluateOptions {
  at::ScalarType compute_type = at::kFloat;  ///< kFloat or kBFloat16
  int64_t softmax_batch = 0;                 ///< targets scored at a time; ≤ 0: all of a batch
  /// Called after every batch with log p of its targets, (B, T) fp32, 0 where nothing is scored.
  std::function<void(const data::Batch& batch, const at::Tensor& log_probs)> on_batch;
};

/// log p(target), natural, (B, T) fp32, 0 where the target is padding. The model computes in its current
/// mode; only scored positions are projected to the vocabulary, at most `softmax_batch` at a time.
at::Tensor score_batch(models::LanguageModel& model, const data::Batch& batch, int64_t softmax_batch = 0);

/// Scores the batches of a dataset in order, in eval mode (the model's former mode is restored). Sums are
/// kept in double. The result does not depend on how samples are grouped, beyond the rounding of fp32
/// products. Errors: kNumeric when a score is not a number.
NllSum evaluate_nll(models::LanguageModel& model, const data::BatchDataset& dataset,
                    const data::BatchList& batches, const EvaluateOptions& options = {});

/// The batches of an evaluation: samples in order, grouped by the limits (max_tokens 36,000 when neither
/// limit is given, required_batch_size_multiple 1); samples longer than max_positions (≤ 0: any) are left out
/// with a warning.
data::BatchList evaluation_batches(const data::BatchDataset& dataset, int64_t max_tokens, int64_t batch_size,
                                   int64_t max_positions, const char* max_tokens_option = "--max-tokens");

/// What `qn eval-lm` is asked for.
struct LmEvaluationOptions {
  int64_t tokens_per_sample = 1024;  ///< of sample and context together
  data::BreakMode sample_break_mode = data::BreakMode::kNone;
  int64_t context_window = 0;  ///< tokens before each sample that are seen, not scored
  int64_t output_dictionary_size = -1;
  int64_t max_tokens = 0;  ///< as evaluation_batches()
  int64_t batch_size = 0;
  int64_t softmax_batch = 0;
  at::ScalarType compute_type = at::kFloat;
  std::string continuation_marker = {};  ///< see WordScores
  bool word_stats = false;
  /// The words of one sample, in the order of scoring; empty: not asked for.
  std::function<void(int64_t sample, const std::vector<WordScores::Word>& words)> on_words = {};
  /// Batches done and in all.
  std::function<void(int64_t done, int64_t total)> on_progress = {};
};

struct LmEvaluation {
  NllSum sum;  ///< tokens: pieces of words that are continued do not count
  int64_t num_samples = 0;
  std::vector<WordStat> word_stats;  ///< when asked for
};

/// Evaluates one split of a data folder, whose dictionary must be the model's.
/// Errors: kConfig when the context leaves no room for a sample, or samples exceed the model's positions;
/// kData as LanguageModelData::split.
LmEvaluation evaluate_lm(models::LanguageModel& model, const data::LanguageModelData& data,
                         const std::string& split, const LmEvaluationOptions& options);

}  // namespace quantnoise::train
