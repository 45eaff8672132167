// qn eval-lm: the perplexity of a language model, as fairseq-eval-lm measures it.

#include <chrono>

#include "quantnoise/base/error.h"
#include "quantnoise/train/evaluate.h"
#include "quantnoise/train/model_io.h"
#include "quantnoise/train/option_group.h"
#include "quantnoise/train/options.h"
#include "tools/common/evaluation_options.h"
#include "tools/common/terminal.h"
#include "tools/qn/commands.h"
#include "tools/qn/shared_options.h"

namespace quantnoise::tool {

namespace {

using config::OptionType;

void declare_without_effect(config::OptionTable& table) {
  train::OptionGroup group(table, train::option_group::kNoEffect);
  group.without_effect("task", OptionType::kString, "the task is the model's");
  group.without_effect("cpu", OptionType::kBool, "evaluation is on the CPU");
  group.without_effect("quiet", OptionType::kBool, "only results are printed anyway");
  group.without_effect("no-progress-bar", OptionType::kBool, "the progress line appears on terminals only");
  group.without_effect("log-interval", OptionType::kString, "the progress line appears on terminals only");
  group.without_effect("num-workers", OptionType::kString, "batches are made in the evaluating thread");
  group.without_effect("seed", OptionType::kString, "nothing is drawn");
  group.without_effect("required-batch-size-multiple", OptionType::kString, "no batch is dropped");
  group.without_effect("skip-invalid-size-inputs-valid-test", OptionType::kBool,
                       "too long samples are left out anyway");
  group.without_effect("ddp-backend", OptionType::kString, "no processes to connect");
  group.without_effect("dataset-impl", OptionType::kString, "the kind of a data file is recognized");
}

void declare(config::OptionTable& table) {
  train::OptionGroup input(table, train::option_group::kTask);
  input.text(
      "data", "",
      "folder made by qn preprocess or fairseq-preprocess (positional); of several, separated by colons, the "
      "first");
  input.text("path", "", "model file or checkpoint").alias("model");
  declare_windows(table, train::option_group::kTask);
  input
      .integer("max-tokens", "",
               "most tokens in a batch, context excluded; 36000 when --batch-size is not given either")
      .unit("tokens")
      .min(1);
  input.integer("batch-size", "", "most samples in a batch").alias("max-sentences").unit("samples").min(1);
  input.integer("softmax-batch", "", "targets scored at a time; default: all of a batch")
      .unit("tokens")
      .min(1);
  declare_evaluation_results(table);
  declare_precision(table);
  declare_threads(table);
  declare_without_effect(table);
}

/// What a file remembers is not what the user typed. Errors: kFormat naming the file.
template <typename Parse>
auto parse_stored(const std::string& path, const std::string& name, const std::string& text,
                  const Parse& parse) {
  try {
    return parse(text);
  } catch (const Error&) {
    throw Error(ErrorKind::kFormat, str_cat(path, ": ", name, " of the training task: found '", text,
                                            "', expected what --", name, " takes"));
  }
}

/// The options of the training run that a file remembers; not-set where it does not.
class StoredOptions {
 public:
  StoredOptions(const pack::ModelFile& file, std::string path)
      : options_(train::stored_task_options(file)), path_(std::move(path)) {}

  /// An explicit value, else the stored one, else the fallback.
  int64_t integer(const config::OptionValues& values, const std::string& name, int64_t fallback) const {
    if (values.has_value(name)) return values.get_int(name);
    const auto found = options_.find(name);
    if (found == options_.end()) return fallback;
    return parse_stored(path_, name, found->second, [&](const std::string& text) {
      return std::get<int64_t>(config::parse_value(values.table().find(name), text));
    });
  }
  text::BreakMode break_mode(const config::OptionValues& values) const {
    const std::string name = "sample-break-mode";
    if (values.has_value(name)) return text::parse_break_mode(values.get_string(name));
    const auto found = options_.find(name);
    if (found == options_.end()) return text::parse_break_mode("none");
    return parse_stored(path_, name, found->second, text::parse_break_mode);
  }

 private:
  std::map<std::string, std::string> options_;
  std::string path_;
};

int64_t integer_or_zero(const config::OptionValues& values, const std::string& name) {
  return values.has_value(name) ? values.get_int(name) : 0;
}

train::LmEvaluationOptions options_from(const config::OptionValues& values,
                                        const train::LoadedModel& loaded) {
  const StoredOptions stored(loaded.file, values.get_string("path"));
  train::LmEvaluationOptions options;
  options.tokens_per_sample = stored.integer(values, "tokens-per-sample", loaded.model->max_positions());
  options.sample_break_mode = stored.break_mode(values);
  options.output_dictionary_size = stored.integer(values, "output-dictionary-size", -1);
  options.context_window = values.get_int("context-window");
  options.max_tokens = integer_or_zero(values, "max-tokens");
  options.batch_size = integer_or_zero(values, "batch-size");
  options.softmax_batch = integer_or_zero(values, "softmax-batch");
  options.compute_type = compute_type_of(values);
  options.continuation_marker = continuation_marker(values);
  options.word_stats = values.get_bool("output-word-stats");
  if (values.get_bool("output-word-probs")) options.on_words = print_words;
  options.on_progress = [](int64_t done, int64_t total) {
    print_status(str_cat("evaluating: ", 100 * done / total, " %"));
  };
  return options;
}

int run(const Invocation& invocation) {
  const config::OptionValues& values = invocation.values;
  QN_REQUIRE(values.is_explicit("path"), ErrorKind::kUsage, "qn eval-lm needs --path MODEL");
  const std::vector<std::string> ignored = values.explicit_without_effect();
  if (!ignored.empty()) print_message(str_cat("options without effect here: --", join(ignored, ", --")));
  apply_threads(values);
  const train::LoadedModel loaded = train::load_model(values.get_string("path"));
  const std::string folder = first_folder(values.get_string("data"));
  const auto data = data::LanguageModelData::open(folder);
  train::require_same_dictionary(loaded.dictionary, *data.dictionary(), folder);
  train::warn_of_other_tokenizer(loaded.tokenizer, data.tokenizer_name(), folder);
  const train::LmEvaluationOptions options = options_from(values, loaded);

  const auto begin = std::chrono::steady_clock::now();
  const train::LmEvaluation evaluation =
      train::evaluate_lm(*loaded.model, data, values.get_string("gen-subset"), options);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  print_status("");
  print_word_stats(evaluation.word_stats);
  EvaluationSummary summary;
  summary.path = values.get_string("path");
  summary.text = values.get_string("gen-subset");
  summary.sum = evaluation.sum;
  summary.num_samples = evaluation.num_samples;
  summary.tokens_per_sample = options.tokens_per_sample;
  summary.sample_break_mode = options.sample_break_mode;
  summary.context_window = options.context_window;
  summary.precision = options.compute_type == at::kFloat ? "fp32" : "bf16";
  summary.seconds = seconds.count();
  print_summary(values, summary);
  return 0;
}

}  // namespace

Command eval_lm_command() {
  Command command;
  command.name = "eval-lm";
  command.summary = "Measures the perplexity of a language model, dense or compressed.";
  command.details =
      "What is not given (tokens-per-sample, sample-break-mode) is taken from the options stored in the "
      "model.";
  command.examples = {"qn eval-lm data-bin --path compressed.qn --gen-subset valid",
                      "qn eval-lm data-bin --path model.qn --sample-break-mode complete --context-window 128 "
                      "--softmax-batch 1024"};
  command.positional = {"data"};
  command.declare = declare;
  command.run = run;
  return command;
}

}  // namespace quantnoise::tool
