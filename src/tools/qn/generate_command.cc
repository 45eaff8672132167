// qn generate: continues text.

#include <iostream>
#include <nlohmann/json.hpp>

#include "quantnoise/base/error.h"
#include "quantnoise/quant/context.h"
#include "quantnoise/train/generate.h"
#include "quantnoise/train/model_io.h"
#include "quantnoise/train/option_group.h"
#include "quantnoise/train/options.h"
#include "tools/qn/command.h"
#include "tools/qn/shared_options.h"
#include "tools/qn/terminal.h"

namespace quantnoise::tool {

namespace {

void declare(config::OptionTable& table) {
  train::OptionGroup input(table, "input");
  input.text("path", "", "model file or checkpoint").alias("model");
  input.text("prompt", "",
             "text to continue; may be repeated; without it every line of standard input is one");
  train::OptionGroup choice(table, "choice of tokens");
  choice.flag("greedy", "always the best token");
  choice.integer("beam", "", "1 is --greedy; other widths are not supported").min(1);
  choice.real("temperature", "1.0", "below 1 sharper, above 1 flatter").min(0);
  choice.integer("sampling-topk", "-1", "chooses among the best N tokens; -1: all").alias("top-k");
  choice.real("sampling-topp", "1.0", "chooses among the best tokens that together have this probability")
      .alias("top-p")
      .min(0)
      .max(1);
  choice.flag("sampling", "samples: the default here");
  choice.real("unkpen", "0.0", "subtracted from the score of <unk>");
  choice.integer("seed", "1", "number the random draws depend on").min(0);
  train::OptionGroup length(table, "length");
  length.integer("max-len", "100", "most new tokens").unit("tokens").min(1);
  length.integer("min-len", "0", "fewest new tokens before </s>").unit("tokens").min(0);
  length.integer("num-samples", "1", "continuations of each prompt").min(1).alias("nbest");
  length.boolean("stop-at-eos", "true", "a continuation ends with its line; false: lines follow each other");
  train::OptionGroup progress(table, train::option_group::kProgress);
  progress.choice("log-format", "simple", {"simple", "json"},
                  "simple: the text; json: one JSON object a continuation");
  declare_precision(table);
  declare_threads(table);
}

search::GenerateOptions options_from(const config::OptionValues& values) {
  QN_REQUIRE(!values.has_value("beam") || values.get_int("beam") == 1, ErrorKind::kUnsupported, "--beam ",
             values.text("beam"), ": beam search is not supported, expected 1");
  search::GenerateOptions options;
  options.sampling.greedy =
      values.get_bool("greedy") || (values.has_value("beam") && !values.get_bool("sampling"));
  options.sampling.temperature = values.get_float("temperature");
  options.sampling.top_k = values.get_int("sampling-topk");
  options.sampling.top_p = values.get_float("sampling-topp");
  options.penalty = values.get_float("unkpen");
  options.seed = static_cast<uint64_t>(values.get_int("seed"));
  options.max_length = values.get_int("max-len");
  options.min_length = values.get_int("min-len");
  options.num_samples = values.get_int("num-samples");
  search::check(options.sampling);
  return options;
}

void print(const train::GeneratedText& generated, bool json) {
  if (!json) {
    print_result(generated.text);
    return;
  }
  const nlohmann::json object = {{"prompt", generated.prompt},
                                 {"text", generated.text},
                                 {"tokens", generated.num_tokens},
                                 {"log_prob", generated.log_prob},
                                 {"ended", generated.ended}};
  print_result(object.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

/// One prompt after the other: from the command line, else from standard input.
class Prompts {
 public:
  explicit Prompts(const Invocation& invocation) {
    const auto found = invocation.repeated.find("prompt");
    if (found != invocation.repeated.end()) given_ = found->second;
    from_stdin_ = !invocation.values.is_explicit("prompt");
    if (!from_stdin_ && given_.empty()) given_ = {invocation.values.get_string("prompt")};  // of a recipe
  }
  bool next(std::string& prompt) {
    if (from_stdin_) return static_cast<bool>(std::getline(std::cin, prompt));
    if (position_ == given_.size()) return false;
    prompt = given_[position_++];
    return true;
  }

 private:
  std::vector<std::string> given_;
  size_t position_ = 0;
  bool from_stdin_ = false;
};

int run(const Invocation& invocation) {
  const config::OptionValues& values = invocation.values;
  QN_REQUIRE(values.is_explicit("path"), ErrorKind::kUsage, "qn generate needs --path MODEL");
  search::GenerateOptions options = options_from(values);
  apply_threads(values);
  const train::LoadedModel loaded = train::load_model(values.get_string("path"));
  quant::ComputeTypeGuard compute_type(compute_type_of(values));
  const bool json = values.get_string("log-format") == "json";
  Prompts prompts(invocation);
  for (std::string prompt; prompts.next(prompt); ++options.prompt_number) {
    const auto texts =
        train::generate_text(*loaded.model, loaded.dictionary, text::find_tokenizer(loaded.tokenizer), prompt,
                             options, values.get_bool("stop-at-eos"));
    if (texts.front().num_unknown > 0) {
      print_message(str_cat("warning: ", texts.front().num_unknown,
                            " words of the prompt are not in the dictionary: ", texts.front().prompt));
    }
    for (const train::GeneratedText& generated : texts) print(generated, json);
  }
  return 0;
}

}  // namespace

Command generate_command() {
  Command command;
  command.name = "generate";
  command.summary = "Continues text with a language model, dense or compressed.";
  command.examples = {
      "qn generate --path compressed.qn --prompt \"In the beginning\" --sampling-topp 0.9 --num-samples 3"};
  command.repeatable = {"prompt"};
  command.declare = declare;
  command.run = run;
  return command;
}

}  // namespace quantnoise::tool
