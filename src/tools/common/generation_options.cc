#include "tools/common/generation_options.h"

#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>

#include "quantnoise/config/option_group.h"
#include "tools/common/json_object.h"
#include "tools/common/terminal.h"

namespace quantnoise::tool {

void declare_generation(config::OptionTable& table) {
  config::OptionGroup input(table, "input");
  input.text("prompt", "",
             "text to continue; may be repeated; without it every line of standard input is one");
  config::OptionGroup choice(table, "choice of tokens");
  choice.flag("greedy", "always the best token");
  choice.integer("beam", "", "beam search with N hypotheses; 1 is --greedy").min(1);
  choice.real("lenpen", "1.0",
              "beam search ranks by the sum of log p / length^X: above 1 favours longer texts");
  choice.real("temperature", "1.0", "below 1 sharper, above 1 flatter").min(0);
  choice.integer("sampling-topk", "-1", "chooses among the best N tokens; -1: all").alias("top-k");
  choice.real("sampling-topp", "1.0", "chooses among the best tokens that together have this probability")
      .alias("top-p")
      .min(0)
      .max(1);
  choice.flag("sampling", "samples: the default here");
  choice.real("unkpen", "0.0", "subtracted from the score of <unk>");
  choice.integer("seed", "1", "number the random draws depend on").min(0);
  config::OptionGroup length(table, "length");
  length.integer("max-len", "100", "most new tokens; never more than the model has positions")
      .unit("tokens")
      .min(1);
  length.integer("min-len", "0", "fewest new tokens before </s>").unit("tokens").min(0);
  length.integer("num-samples", "1", "continuations of each prompt").min(1).alias("nbest");
  length.boolean("stop-at-eos", "true", "a continuation ends with its line; false: lines follow each other");
  config::OptionGroup progress(table, "progress");
  progress.choice("log-format", "simple", {"simple", "json"},
                  "simple: the text; json: one JSON object a continuation");
}

search::GenerateOptions generation_options(const config::OptionValues& values) {
  search::GenerateOptions options;
  const int64_t beam = values.has_value("beam") ? values.get_int("beam") : 0;
  const bool samples = values.get_bool("sampling");
  QN_REQUIRE(beam <= 1 || !(samples || values.get_bool("greedy")), ErrorKind::kUnsupported, "--beam ", beam,
             " searches for the best text: it does not go together with --sampling or --greedy");
  options.sampling.greedy = values.get_bool("greedy") || (beam == 1 && !samples);
  options.beam_size = beam > 1 ? beam : 0;
  options.length_penalty = values.get_float("lenpen");
  options.sampling.temperature = values.get_float("temperature");
  options.sampling.top_k = values.get_int("sampling-topk");
  options.sampling.top_p = values.get_float("sampling-topp");
  QN_REQUIRE(beam <= 1 || (options.sampling.top_k <= 0 && options.sampling.top_p == 1),
             ErrorKind::kUnsupported, "--beam ", beam,
             " searches among all tokens: it does not go together with --sampling-topk and "
             "--sampling-topp");
  options.penalty = values.get_float("unkpen");
  options.seed = static_cast<uint64_t>(values.get_int("seed"));
  options.max_length = values.get_int("max-len");
  options.min_length = values.get_int("min-len");
  options.num_samples = values.get_int("num-samples");
  search::check(options);
  return options;
}

Prompts::Prompts(const Invocation& invocation) {
  const auto found = invocation.repeated.find("prompt");
  if (found != invocation.repeated.end()) given_ = found->second;
  from_stdin_ = !invocation.values.is_explicit("prompt");
  if (!from_stdin_ && given_.empty()) given_ = {invocation.values.get_string("prompt")};  // of a recipe
}

std::vector<std::string> Prompts::next(size_t count) {
  std::vector<std::string> prompts;
  while (prompts.size() < count) {
    if (from_stdin_) {
      std::string line;
      if (!std::getline(std::cin, line)) {
        QN_REQUIRE(std::ferror(stdin) == 0, ErrorKind::kIo, "cannot read standard input");
        break;
      }
      prompts.push_back(std::move(line));
    } else {
      if (position_ == given_.size()) break;
      prompts.push_back(given_[position_++]);
    }
  }
  return prompts;
}

void print_generated(const std::vector<search::GeneratedText>& texts, const config::OptionValues& values) {
  if (!texts.empty() && texts.front().num_unknown > 0) {
    print_message(str_cat("warning: ", texts.front().num_unknown,
                          " words of the prompt are not in the dictionary: ", texts.front().prompt));
  }
  for (const search::GeneratedText& generated : texts) {
    if (values.get_string("log-format") != "json") {
      print_result(generated.text);
      continue;
    }
    print_result(json_text(json_object({{"prompt", generated.prompt},
                                        {"text", generated.text},
                                        {"tokens", generated.num_tokens},
                                        {"log_prob", generated.log_prob},
                                        {"ended", generated.ended}})));
  }
}

}  // namespace quantnoise::tool
