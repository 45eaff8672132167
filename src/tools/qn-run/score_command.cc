// qn-run score: the perplexity of a text under a language model.

#include <chrono>

#include "quantnoise/base/file.h"
#include "quantnoise/config/option_group.h"
#include "quantnoise/runtime/score.h"
#include "quantnoise/text/data_folder.h"
#include "tools/common/evaluation_options.h"
#include "tools/common/session_options.h"
#include "tools/common/terminal.h"
#include "tools/qn-run/commands.h"

namespace quantnoise::tool {

namespace {

// Many tokens pass together: nobody waits for the first.
constexpr int64_t kWorkBytes = int64_t{16} << 20;

void declare(config::OptionTable& table) {
  config::OptionGroup input(table, "input");
  input.text("model", "", "model file (positional)").alias("path");
  input.text("text", "", "text to score, a sentence a line; - : standard input");
  input.text("data", "", "folder made by qn preprocess or fairseq-preprocess, instead of a text");
  declare_windows(table, "input");
  declare_evaluation_results(table);
  declare_session(table);
  config::OptionGroup machine(table, "machine");
  machine.flag("tables", "every product by look-up tables, as in generation; --fast means this too");
}

/// Errors: kData when the folder's words are not the model's, naming the first that differs.
void require_same_dictionary(const runtime::LanguageModel& model, const text::DataFolder& folder) {
  const text::DictionaryView& ours = model.dictionary();
  const text::Dictionary& theirs = *folder.dictionary();
  std::string difference;
  if (ours.size() != theirs.size())
    difference = str_cat("found ", theirs.size(), " entries, expected ", ours.size());
  for (int64_t i = 0; i < std::min(ours.size(), theirs.size()); ++i) {
    if (ours.symbol(i) == theirs.symbol(i)) continue;
    difference = str_cat("entry ", i, " is '", theirs.symbol(i), "', expected '", ours.symbol(i), "'");
    break;
  }
  if (difference.empty()) return;
  throw Error(ErrorKind::kData,
              str_cat("the dictionary of ", folder.folder(), " is not the model's: ", difference),
              "prepare the data with the model's dictionary: qn preprocess --srcdict");
}

std::shared_ptr<const text::TokenStream> read_input(const runtime::LanguageModel& model,
                                                    const config::OptionValues& values) {
  if (!values.is_explicit("text")) {
    const text::DataFolder folder = text::DataFolder::open(first_folder(values.get_string("data")));
    require_same_dictionary(model, folder);
    if (folder.tokenizer_name() != model.tokenizer().name()) {
      print_message(str_cat("warning: the text of ", folder.folder(),
                            " was cut into words by the tokenizer '", folder.tokenizer_name(),
                            "', the model's is '", model.tokenizer().name(), "'"));
    }
    return folder.stream(values.get_string("gen-subset"));
  }
  const std::string& path = values.get_string("text");
  const std::string text = path == "-" ? read_standard_input() : base::read_text_file(path);
  const size_t zero = text.find('\0');
  QN_REQUIRE(zero == std::string::npos, ErrorKind::kData, "cannot score ", path, ": found a zero byte at ",
             zero, ", expected text");
  return runtime::encode_text(model, text);
}

runtime::ScoreOptions options_from(const config::OptionValues& values, const runtime::LanguageModel& model) {
  runtime::ScoreOptions options = runtime::score_options(model);
  if (values.has_value("tokens-per-sample")) options.tokens_per_sample = values.get_int("tokens-per-sample");
  if (values.has_value("sample-break-mode"))
    options.sample_break_mode = text::parse_break_mode(values.get_string("sample-break-mode"));
  if (values.has_value("output-dictionary-size"))
    options.output_dictionary_size = values.get_int("output-dictionary-size");
  options.context_window = values.get_int("context-window");
  options.on_progress = [](int64_t done, int64_t total) {
    print_status(str_cat("scoring: ", 100 * done / total, " %"));
  };
  return options;
}

int run(const Invocation& invocation) {
  const config::OptionValues& values = invocation.values;
  QN_REQUIRE(values.is_explicit("text") != values.is_explicit("data"), ErrorKind::kUsage,
             "qn-run score needs either --text FILE or --data FOLDER");
  runtime::SessionOptions session_settings = session_options(values);
  session_settings.work_bytes = kWorkBytes;
  // Many rows are decoded and multiplied in fp32, where --fast would change nothing.
  if (values.get_bool("tables") || values.get_bool("fast"))
    session_settings.method = runtime::Method::kLookup;
  const auto model = runtime::LanguageModel::open(values.get_string("model"));
  runtime::Session session(model, session_settings);
  runtime::ScoreOptions options = options_from(values, *model);
  search::WordScores words([&](int64_t token) { return std::string(model->dictionary().symbol(token)); },
                           continuation_marker(values));
  const bool prints_words = values.get_bool("output-word-probs"),
             counts_words = values.get_bool("output-word-stats");
  if (prints_words || counts_words || values.has_value("post-process")) {
    options.on_sample = [&](int64_t sample, std::span<const int64_t> targets,
                            std::span<const float> log_probs) {
      const auto found = words.add({targets.begin(), targets.end()}, {log_probs.begin(), log_probs.end()});
      if (prints_words) print_words(sample, found);
    };
  }
  const auto stream = read_input(*model, values);
  const auto begin = std::chrono::steady_clock::now();
  runtime::ScoreResult result = runtime::score(session, stream, options);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  print_status("");
  result.sum.num_tokens -= words.num_continuations();
  if (counts_words) print_word_stats(words.stats());
  EvaluationSummary summary;
  summary.path = values.get_string("model");
  summary.text = values.is_explicit("text") ? values.get_string("text") : values.get_string("gen-subset");
  summary.sum = result.sum;
  summary.num_samples = result.num_samples;
  summary.tokens_per_sample = options.tokens_per_sample;
  summary.sample_break_mode = options.sample_break_mode;
  summary.context_window = options.context_window;
  summary.precision = str_cat(precision_name(session_settings),
                              session_settings.method == runtime::Method::kLookup ? ", by tables" : "");
  summary.seconds = seconds.count();
  print_summary(values, summary);
  return 0;
}

}  // namespace

Command run_score_command() {
  Command command;
  command.name = "score";
  command.summary = "Measures the perplexity of a text under a language model, as qn eval-lm does.";
  command.details =
      "What is not given (tokens-per-sample, sample-break-mode) is taken from the options stored in the "
      "model. A text "
      "gives what the same text gives behind qn preprocess with the model's dictionary and tokenizer.";
  command.examples = {"qn-run score compressed.qn --text held_out.txt",
                      "qn-run score compressed.qn --data data-bin --gen-subset valid --context-window 128"};
  command.positional = {"model"};
  command.takes_recipe = false;
  command.declare = declare;
  command.run = run;
  return command;
}

}  // namespace quantnoise::tool
