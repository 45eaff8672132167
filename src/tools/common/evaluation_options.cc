#include "tools/common/evaluation_options.h"

#include <algorithm>
#include <iomanip>
#include <nlohmann/json.hpp>
#include <sstream>

#include "quantnoise/base/error.h"
#include "quantnoise/base/file.h"
#include "quantnoise/config/option_group.h"
#include "quantnoise/text/data_folder.h"
#include "tools/common/json_object.h"
#include "tools/common/terminal.h"

namespace quantnoise::tool {

namespace {

std::string fixed(double value, int digits) {
  std::ostringstream out;
  out << std::fixed << std::setprecision(digits) << value;
  return out.str();
}

}  // namespace

void declare_windows(config::OptionTable& table, const char* group_name) {
  config::OptionGroup group(table, group_name);
  group.text("gen-subset", "test", "split to evaluate");
  group.integer("tokens-per-sample", "", "longest sample, its context included; default: as in training")
      .unit("tokens")
      .min(1);
  group.choice("sample-break-mode", "", {"none", "complete", "complete_doc", "eos"},
               "how text is cut; default: as in training");
  group.integer("output-dictionary-size", "",
                "targets from this number on become <unk>; default: as in training");
  group.integer("context-window", "0", "tokens before each sample that are seen, not scored")
      .unit("tokens")
      .min(0);
}

void declare_evaluation_results(config::OptionTable& table) {
  config::OptionGroup results(table, "results");
  results.flag("output-word-probs", "prints log p of every word of every sample");
  results.flag("output-word-stats",
               "prints for every word: count, sum of its log p, whether it is made of pieces, sum of log p "
               "of the words "
               "after it, their count");
  results
      .choice("post-process", "", {"subword_nmt", "@@ "},
              "joins pieces marked @@ to words, which count once; subword_nmt where no value follows")
      .bare("subword_nmt")
      .alias("remove-bpe");
  results.text("results-json", "", "also writes the results to this file");
  results.choice("log-format", "simple", {"simple", "json", "none", "tqdm"},
                 "json: the results as one JSON object; the others are the same here: one line");
}

std::string first_folder(const std::string& list) {
  const std::vector<std::string> folders = text::split_folders(list);
  QN_REQUIRE(!folders.empty(), ErrorKind::kUsage, "no data folder given: found '", list, "'");
  return folders.front();
}

std::string continuation_marker(const config::OptionValues& values) {
  return values.has_value("post-process") ? "@@" : "";
}

void print_words(int64_t sample, const std::vector<search::WordScores::Word>& words) {
  std::vector<std::string> cells;
  for (const auto& word : words) cells.push_back(word.text + " [" + fixed(word.log_prob, 6) + "]");
  print_result(str_cat(sample, " ", join(cells, "\t")));
}

void print_word_stats(const std::vector<search::WordStat>& stats) {
  for (const search::WordStat& stat : stats) {
    print_result(str_cat(stat.word, "\t", stat.count, "\t", fixed(stat.log_prob, 6), "\t",
                         stat.is_bpe ? "True" : "False", "\t", fixed(stat.next_log_prob, 6), "\t",
                         stat.num_next));
  }
}

namespace {

void print_line(const EvaluationSummary& summary) {
  const auto tokens = static_cast<double>(summary.sum.num_tokens);
  print_message(str_cat("evaluated ", summary.sum.num_tokens, " tokens of ", summary.text, " in ",
                        fixed(summary.seconds, 1), " s (", fixed(tokens / std::max(summary.seconds, 1e-9), 0),
                        " tokens/s, ", summary.precision, ")"));
  print_result(str_cat("Loss (base 2): ", fixed(summary.sum.loss(), 4),
                       ", Perplexity: ", fixed(summary.sum.perplexity(), 2)));
}

}  // namespace

void print_summary(const config::OptionValues& values, const EvaluationSummary& summary) {
  const std::string text = json_text(json_object({
      {"path", summary.path},
      {"split", summary.text},
      {"loss", summary.sum.loss()},
      {"ppl", summary.sum.perplexity()},
      {"tokens", summary.sum.num_tokens},
      {"tokens_of_probability_zero", summary.sum.num_skipped},
      {"samples", summary.num_samples},
      {"tokens_per_sample", summary.tokens_per_sample},
      {"sample_break_mode", text::break_mode_name(summary.sample_break_mode)},
      {"context_window", summary.context_window},
      {"precision", summary.precision},
      {"seconds", summary.seconds},
  }));
  values.get_string("log-format") == "json" ? print_result(text) : print_line(summary);
  if (!values.get_string("results-json").empty())
    base::write_text_file(values.get_string("results-json"), text + "\n");
}

}  // namespace quantnoise::tool
