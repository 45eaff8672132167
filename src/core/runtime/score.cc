#include "quantnoise/runtime/score.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "quantnoise/base/error.h"
#include "quantnoise/base/log.h"
#include "quantnoise/text/lines.h"
#include "quantnoise/text/utf8.h"

namespace quantnoise::runtime {

namespace {

int64_t stored_integer(const LanguageModel& model, const std::string& name, int64_t fallback) {
  const auto found = model.task_options().find(name);
  if (found == model.task_options().end()) return fallback;
  const std::string& text = found->second;
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  QN_REQUIRE(error == std::errc() && end == text.data() + text.size(), ErrorKind::kFormat, model.name(),
             ": stored option ", name, ": found '", text, "', expected a whole number");
  return value;
}

void check_window(const ScoreOptions& options, int64_t max_positions) {
  QN_REQUIRE(options.context_window >= 0 && options.tokens_per_sample > options.context_window,
             ErrorKind::kConfig, "--context-window ", options.context_window,
             " leaves no room in samples of ", options.tokens_per_sample,
             " tokens: expected less than --tokens-per-sample");
  QN_REQUIRE(max_positions <= 0 || options.tokens_per_sample <= max_positions, ErrorKind::kConfig,
             "--tokens-per-sample ", options.tokens_per_sample, " is more than the ", max_positions,
             " positions of the model");
}

/// Samples of a stream, each behind its context, whose targets are padding.
class Samples {
 public:
  Samples(std::shared_ptr<const text::TokenStream> stream, const ScoreOptions& options)
      : options_(options),
        block_size_(options.tokens_per_sample - options.context_window),
        blocks_(std::move(stream), options.sample_break_mode, block_size_) {}

  int64_t size() const { return blocks_.size(); }
  int64_t num_tokens(int64_t sample) const { return blocks_.block_size(sample); }
  ScoredTokens read(int64_t sample) const {
    const std::vector<int64_t> context =
        text::context_before(blocks_, sample, block_size_, options_.context_window);
    const auto count = static_cast<size_t>(num_tokens(sample));
    ScoredTokens tokens;
    tokens.source = context;
    tokens.source.resize(context.size() + count);
    tokens.target.resize(context.size() + count, text::kPad);
    blocks_.read_source(sample, std::span(tokens.source).last(count));
    blocks_.read_target(sample, std::span(tokens.target).last(count));
    if (options_.output_dictionary_size < 0) return tokens;
    for (int64_t& target : tokens.target) {
      if (target != text::kPad && target >= options_.output_dictionary_size) target = text::kUnk;
    }
    return tokens;
  }

 private:
  const ScoreOptions& options_;
  int64_t block_size_;
  text::TokenBlockDataset blocks_;
};

void add_sample(const ScoredTokens& tokens, std::span<const float> log_probs, int64_t sample,
                size_t num_scored, const ScoreOptions& options, ScoreResult& result) {
  for (size_t i = 0; i < log_probs.size(); ++i) {
    if (tokens.target[i] != text::kPad) result.sum.add(tokens.target[i], log_probs[i]);
  }
  ++result.num_samples;
  if (options.on_sample) {
    options.on_sample(sample, std::span(tokens.target).last(num_scored), log_probs.last(num_scored));
  }
}

void warn(const ScoreResult& result, int64_t max_positions) {
  if (result.num_too_long > 0) {
    base::log(base::LogLevel::kWarning, str_cat(result.num_too_long, " samples are longer than ",
                                                max_positions, " tokens and are skipped"));
  }
  if (result.sum.num_skipped > 0) {
    base::log(base::LogLevel::kWarning,
              str_cat(result.sum.num_skipped, " targets have probability zero and are left out of the loss"));
  }
}

}  // namespace

ScoreOptions score_options(const LanguageModel& model) {
  ScoreOptions options;
  options.tokens_per_sample = stored_integer(model, "tokens-per-sample", model.max_positions());
  options.output_dictionary_size = stored_integer(model, "output-dictionary-size", -1);
  const auto mode = model.task_options().find("sample-break-mode");
  if (mode == model.task_options().end()) return options;
  try {
    options.sample_break_mode = text::parse_break_mode(mode->second);
  } catch (const Error& error) {
    throw Error(ErrorKind::kFormat, str_cat(model.name(), ": stored option ", error.what()));
  }
  return options;
}

ScoreResult score(Session& session, std::shared_ptr<const text::TokenStream> stream,
                  const ScoreOptions& options) {
  const int64_t max_positions = session.max_positions();
  check_window(options, max_positions);
  const Samples samples(std::move(stream), options);
  ScoreResult result;
  std::vector<ScoredTokens> batch;
  std::vector<int64_t> numbers;
  const auto pass_batch = [&] {
    const auto log_probs = session.log_probs(batch);
    for (size_t i = 0; i < batch.size(); ++i) {
      add_sample(batch[i], log_probs[i], numbers[i], static_cast<size_t>(samples.num_tokens(numbers[i])),
                 options, result);
    }
    batch.clear();
    numbers.clear();
  };
  int64_t num_waiting = 0;
  for (int64_t sample = 0; sample < samples.size(); ++sample) {
    if (max_positions > 0 && samples.num_tokens(sample) > max_positions) {
      ++result.num_too_long;
      continue;
    }
    batch.push_back(samples.read(sample));
    numbers.push_back(sample);
    num_waiting += static_cast<int64_t>(batch.back().source.size());
    if (num_waiting < options.batch_tokens && sample + 1 < samples.size()) continue;
    pass_batch();
    num_waiting = 0;
    if (options.on_progress) options.on_progress(sample + 1, samples.size());
  }
  pass_batch();
  warn(result, max_positions);
  QN_REQUIRE(result.sum.num_tokens > 0, ErrorKind::kData, "found no token to score in ", samples.size(),
             " samples, expected at least one");
  return result;
}

std::shared_ptr<const text::TokenStream> encode_text(const LanguageModel& model, std::string_view text) {
  std::vector<std::vector<int64_t>> sentences;
  std::string storage;
  text::for_each_line(text, [&](std::string_view line) {
    text::replace_invalid_utf8(line, storage);
    sentences.push_back(model.dictionary().encode_line(line, model.tokenizer()));
  });
  QN_REQUIRE(!sentences.empty(), ErrorKind::kData, "the text is empty: expected at least one line");
  return std::make_shared<const text::TokenStream>(text::TokenStream::from_sentences(sentences));
}

}  // namespace quantnoise::runtime
