#pragma once
// What `qn eval-lm` and `qn-run score` have in common: options and output.

#include <optional>
#include <string>
#include <vector>

#include "quantnoise/config/options.h"
#include "quantnoise/search/word_scores.h"
#include "quantnoise/text/token_blocks.h"

namespace quantnoise::tool {

/// How text is cut into samples. Not set: as the model's file remembers.
void declare_windows(config::OptionTable& table, const char* group);
/// What is printed.
void declare_evaluation_results(config::OptionTable& table);

/// Of several folders, separated by colons as `qn train` takes them, that with the splits to evaluate.
/// Errors: kUsage for none.
std::string first_folder(const std::string& list);
/// The marker of pieces that are continued ("@@"), or nothing.
std::string continuation_marker(const config::OptionValues& values);
void print_words(int64_t sample, const std::vector<search::WordScores::Word>& words);
void print_word_stats(const std::vector<search::WordStat>& stats);

/// The results of an evaluation.
struct EvaluationSummary {
  std::string path;
  std::string text;  ///< split or file
  search::NllSum sum;
  int64_t num_samples = 0;
  int64_t tokens_per_sample = 0;
  text::BreakMode sample_break_mode = text::BreakMode::kNone;
  int64_t context_window = 0;
  std::string precision;  ///< "fp32", "bf16", "8-bit tables"
  double seconds = 0;
};

/// Loss and perplexity as the options say: text or JSON, and the file of --results-json.
void print_summary(const config::OptionValues& values, const EvaluationSummary& summary);

}  // namespace quantnoise::tool
