#include "quantnoise/train/evaluate.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "quantnoise/base/error.h"
#include "quantnoise/base/log.h"
#include "quantnoise/data/iterator.h"
#include "quantnoise/quant/context.h"

namespace quantnoise::train {

namespace {

constexpr int64_t kDefaultMaxTokens = 36'000;  // fairseq's eval_lm, when no limit is given

/// Puts the model into eval mode for a scope.
class EvalModeGuard {
 public:
  explicit EvalModeGuard(torch::nn::Module& module) : module_(module), was_training_(module.is_training()) {
    if (was_training_) module_.eval();
  }
  ~EvalModeGuard() {
    if (was_training_) module_.train();
  }
  EvalModeGuard(const EvalModeGuard&) = delete;
  EvalModeGuard& operator=(const EvalModeGuard&) = delete;

 private:
  torch::nn::Module& module_;
  bool was_training_;
};

/// Adds the scored targets of one batch. Sequential sums in double: the order is that of the samples, however
/// they are grouped.
void add_scores(const data::Batch& batch, const at::Tensor& log_probs, NllSum& sum) {
  const at::Tensor scores = log_probs.contiguous();
  const at::Tensor targets = batch.target.contiguous();
  const float* score = scores.const_data_ptr<float>();
  const int64_t* target = targets.const_data_ptr<int64_t>();
  for (int64_t i = 0; i < targets.numel(); ++i) {
    if (target[i] != text::kPad) sum.add(target[i], score[i]);
  }
}

}  // namespace

at::Tensor score_batch(models::LanguageModel& model, const data::Batch& batch, int64_t softmax_batch) {
  torch::NoGradGuard no_grad;
  const at::Tensor features = model.features(batch.tokens);
  const at::Tensor rows = features.reshape({-1, features.size(-1)});
  const at::Tensor targets = batch.target.reshape({-1});
  const at::Tensor scored = targets.ne(text::kPad).nonzero().squeeze(1);
  const int64_t num_scored = scored.size(0);
  const int64_t chunk = softmax_batch > 0 ? softmax_batch : std::max<int64_t>(num_scored, 1);
  at::Tensor log_probs = torch::zeros({targets.size(0)}, torch::kFloat);
  for (int64_t begin = 0; begin < num_scored; begin += chunk) {
    const at::Tensor part = scored.narrow(0, begin, std::min(chunk, num_scored - begin));
    const at::Tensor part_scores = model.target_log_probs(rows.index_select(0, part).unsqueeze(0),
                                                          targets.index_select(0, part).unsqueeze(0));
    log_probs.index_copy_(0, part, part_scores.reshape({-1}).to(torch::kFloat));
  }
  return log_probs.view(batch.target.sizes());
}

NllSum evaluate_nll(models::LanguageModel& model, const data::BatchDataset& dataset,
                    const data::BatchList& batches, const EvaluateOptions& options) {
  EvalModeGuard eval_mode(model);
  quant::ComputeTypeGuard compute_type(options.compute_type);
  NllSum sum;
  for (int64_t i = 0; i < batches.size(); ++i) {
    const data::Batch batch = dataset.collate(batches[i]);
    if (batch.empty()) continue;
    const at::Tensor log_probs = score_batch(model, batch, options.softmax_batch);
    add_scores(batch, log_probs, sum);
    if (options.on_batch) options.on_batch(batch, log_probs);
  }
  if (sum.num_skipped > 0) {
    base::log(base::LogLevel::kWarning,
              str_cat(sum.num_skipped, " targets have probability zero and are left out of the loss"));
  }
  return sum;
}

data::BatchList evaluation_batches(const data::BatchDataset& dataset, int64_t max_tokens, int64_t batch_size,
                                   int64_t max_positions, const char* max_tokens_option) {
  data::IteratorOptions options;
  options.limits.max_tokens_option = max_tokens_option;
  options.limits.max_tokens = max_tokens <= 0 && batch_size <= 0 ? kDefaultMaxTokens : max_tokens;
  options.limits.max_sentences = batch_size;
  options.limits.required_batch_size_multiple = 1;
  options.max_positions = max_positions;
  options.skip_too_long = true;
  options.order = data::SampleOrder::kSequential;
  options.shuffle = false;
  return data::make_batches(dataset, options);
}

// ---- whole splits
// --------------------------------------------------------------------------------------------------

namespace {

void check_window(const LmEvaluationOptions& options, int64_t max_positions) {
  QN_REQUIRE(options.tokens_per_sample > options.context_window, ErrorKind::kConfig, "--context-window ",
             options.context_window, " leaves no room in samples of ", options.tokens_per_sample,
             " tokens: expected less than --tokens-per-sample");
  QN_REQUIRE(max_positions <= 0 || options.tokens_per_sample <= max_positions, ErrorKind::kConfig,
             "--tokens-per-sample ", options.tokens_per_sample, " is more than the ", max_positions,
             " positions of the model");
}

/// Hands the scored part of every sample of a batch to the collector.
void collect_words(const data::Batch& batch, const at::Tensor& log_probs, const LmEvaluationOptions& options,
                   WordScores& scores) {
  for (int64_t i = 0; i < batch.num_sentences; ++i) {
    const auto row = static_cast<size_t>(i);
    const int64_t begin = batch.start_indices[row];
    const int64_t length = batch.lengths[row] - begin;
    const at::Tensor target = batch.target[i].narrow(0, begin, length).contiguous();
    const at::Tensor score = log_probs[i].narrow(0, begin, length).contiguous();
    const int64_t* targets = target.const_data_ptr<int64_t>();
    const float* values = score.const_data_ptr<float>();
    const auto words = scores.add({targets, targets + length}, {values, values + length});
    if (options.on_words) options.on_words(batch.ids[row], words);
  }
}

}  // namespace

LmEvaluation evaluate_lm(models::LanguageModel& model, const data::LanguageModelData& data,
                         const std::string& split, const LmEvaluationOptions& options) {
  check_window(options, model.max_positions());
  data::LanguageModelOptions block_options;
  block_options.tokens_per_sample = options.tokens_per_sample - options.context_window;
  block_options.sample_break_mode = options.sample_break_mode;
  block_options.output_dictionary_size = options.output_dictionary_size;
  const auto blocks = data.split(split, block_options);
  const data::ContextWindowDataset dataset(blocks, block_options.tokens_per_sample, options.context_window);
  const data::BatchList batches =
      evaluation_batches(dataset, options.max_tokens, options.batch_size, model.max_positions());

  WordScores words([&](int64_t token) { return data.dictionary()->symbol(token); },
                   options.continuation_marker);
  const bool needs_words = options.word_stats || options.on_words || !options.continuation_marker.empty();
  LmEvaluation evaluation;
  int64_t batches_done = 0;
  EvaluateOptions scoring{options.compute_type, options.softmax_batch, {}};
  scoring.on_batch = [&](const data::Batch& batch, const at::Tensor& log_probs) {
    evaluation.num_samples += batch.num_sentences;
    if (needs_words) collect_words(batch, log_probs, options, words);
    if (options.on_progress) options.on_progress(++batches_done, batches.size());
  };
  evaluation.sum = evaluate_nll(model, dataset, batches, scoring);
  evaluation.sum.num_tokens -= words.num_continuations();
  if (options.word_stats) evaluation.word_stats = words.stats();
  return evaluation;
}

}  // namespace quantnoise::train
