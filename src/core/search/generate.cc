#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "core/search/growth.h"
#include "quantnoise/base/error.h"

namespace quantnoise::search {

namespace {

/// One sample while it grows.
class Sampler {
 public:
  Sampler(const GenerateOptions& options, uint64_t prompt_number, int64_t sample)
      : options_(options),
        stream_(options.seed, base::hash_name("generate"), prompt_number, static_cast<uint32_t>(sample)) {}

  bool done() const { return done_; }
  /// Chooses the next token from its logits and returns it.
  int64_t step(std::span<const float> logits, std::vector<float>& scores) {
    scores.assign(logits.begin(), logits.end());
    adjust_scores(options_, length(), scores);
    const int64_t token =
        choose_token(scores, options_.sampling, stream_.uniform(static_cast<uint64_t>(length())));
    result_.log_prob += static_cast<double>(logits[static_cast<size_t>(token)]) - log_sum_exp(logits);
    result_.ended = token == options_.end_token;
    if (!result_.ended) result_.tokens.push_back(token);
    const bool stopped = !result_.ended && options_.on_token && !options_.on_token(token);
    done_ = result_.ended || stopped || length() >= options_.max_length;
    return token;
  }
  GeneratedSequence take() { return std::move(result_); }

 private:
  int64_t length() const { return static_cast<int64_t>(result_.tokens.size()); }

  const GenerateOptions& options_;
  base::RandomStream stream_;
  GeneratedSequence result_;
  bool done_ = false;
};

class Sampling : public Growth {
 public:
  Sampling(const GenerateOptions& options, uint64_t prompt_number) {
    for (int64_t sample = 0; sample < options.num_samples; ++sample) {
      live_.push_back(samplers_.size());
      samplers_.emplace_back(options, prompt_number, sample);
    }
  }

  NextTokens step(std::span<const float> logits) override {
    const size_t vocabulary = logits.size() / live_.size();
    NextTokens next;
    std::vector<size_t> still_live;
    for (size_t i = 0; i < live_.size(); ++i) {
      Sampler& sampler = samplers_[live_[i]];
      const int64_t token = sampler.step(logits.subspan(i * vocabulary, vocabulary), scores_);
      if (sampler.done()) continue;
      still_live.push_back(live_[i]);
      next.parents.push_back(static_cast<int64_t>(i));
      next.tokens.push_back(token);
    }
    live_ = std::move(still_live);
    return next;
  }

  std::vector<GeneratedSequence> finish() override {
    std::vector<GeneratedSequence> sequences;
    for (Sampler& sampler : samplers_) sequences.push_back(sampler.take());
    return sequences;
  }

 private:
  std::vector<Sampler> samplers_;
  std::vector<size_t> live_;
  std::vector<float> scores_;
};

/// number: of the prompt, from 1; 0: there is only one.
void check_prompt(const Scorer& scorer, const Tokens& prompt, uint64_t number) {
  QN_REQUIRE(!prompt.empty(), ErrorKind::kData, "a prompt needs at least one token");
  const auto length = static_cast<int64_t>(prompt.size());
  const std::string name = number == 0 ? "the prompt" : str_cat("prompt ", number);
  QN_REQUIRE(scorer.max_positions() <= 0 || length <= scorer.max_positions(), ErrorKind::kData, name, " has ",
             length, " tokens, the model sees at most ", scorer.max_positions());
}

/// One prompt on its way.
struct Progress {
  std::unique_ptr<Growth> growth;
  int64_t position = 0;  ///< tokens that the model has seen
  int64_t num_live = 0;
};

/// One step of all prompts. logits: of all live sequences, prompt by prompt. Parents count among those.
NextTokens step_all(std::vector<Progress>& prompts, std::span<const float> logits, int64_t max_positions) {
  int64_t num_live = 0;
  for (const Progress& prompt : prompts) num_live += prompt.num_live;
  const size_t vocabulary = logits.size() / static_cast<size_t>(num_live);
  NextTokens all;
  int64_t first = 0;
  for (Progress& prompt : prompts) {
    if (prompt.num_live == 0) continue;
    NextTokens next = prompt.growth->step(logits.subspan(static_cast<size_t>(first) * vocabulary,
                                                         static_cast<size_t>(prompt.num_live) * vocabulary));
    if (max_positions > 0 && prompt.position >= max_positions) next = {};  // no room for another token
    for (const int64_t parent : next.parents) all.parents.push_back(first + parent);
    all.tokens.insert(all.tokens.end(), next.tokens.begin(), next.tokens.end());
    first += prompt.num_live;
    prompt.num_live = static_cast<int64_t>(next.tokens.size());
    ++prompt.position;
  }
  return all;
}

bool is_identity(const std::vector<int64_t>& parents, int64_t count) {
  for (size_t i = 0; i < parents.size(); ++i) {
    if (parents[i] != static_cast<int64_t>(i)) return false;
  }
  return static_cast<int64_t>(parents.size()) == count;
}

/// Prompts that the scorer takes at once.
std::vector<std::vector<GeneratedSequence>> generate_together(Scorer& scorer, std::span<const Tokens> prompts,
                                                              const GenerateOptions& options,
                                                              uint64_t first_number) {
  const int64_t sequences_each = options.beam_size > 0 ? 1 : options.num_samples;
  std::vector<Progress> progress;
  for (size_t i = 0; i < prompts.size(); ++i) {
    progress.push_back({options.beam_size > 0 ? make_beam(options) : make_sampling(options, first_number + i),
                        static_cast<int64_t>(prompts[i].size()), sequences_each});
  }
  std::span<const float> logits = scorer.start(prompts, sequences_each);
  auto num_sequences = static_cast<int64_t>(prompts.size()) * sequences_each;
  while (true) {
    const NextTokens next = step_all(progress, logits, scorer.max_positions());
    if (next.tokens.empty()) break;
    if (!is_identity(next.parents, num_sequences)) scorer.select(next.parents);
    num_sequences = static_cast<int64_t>(next.tokens.size());
    logits = scorer.advance(next.tokens);
  }
  std::vector<std::vector<GeneratedSequence>> results;
  for (Progress& prompt : progress) results.push_back(prompt.growth->finish());
  return results;
}

}  // namespace

// Sequences of a prompt pass together, each with keys, values and logits of its own.
constexpr int64_t kMostSequences = 1000;

void check(const GenerateOptions& options) {
  check(options.sampling);
  QN_REQUIRE(options.num_samples >= 1 && options.num_samples <= kMostSequences, ErrorKind::kConfig,
             "number of samples: found ", options.num_samples, ", expected 1 to ", kMostSequences);
  QN_REQUIRE(options.max_length >= 1, ErrorKind::kConfig, "max-len: found ", options.max_length,
             ", expected at least 1");
  QN_REQUIRE(options.min_length <= options.max_length, ErrorKind::kConfig, "min-len: found ",
             options.min_length, ", expected at most max-len ", options.max_length);
  QN_REQUIRE(options.beam_size >= 0 && options.beam_size <= kMostSequences, ErrorKind::kConfig,
             "beam: found ", options.beam_size, ", expected 1 to ", kMostSequences);
  QN_REQUIRE(options.beam_size == 0 || options.num_samples <= options.beam_size, ErrorKind::kConfig,
             "number of samples: found ", options.num_samples, ", expected at most the beam of ",
             options.beam_size);
  QN_REQUIRE(!options.on_token || (options.beam_size == 0 && options.num_samples == 1), ErrorKind::kConfig,
             "a callback for tokens follows one sample without a beam, found ", options.num_samples,
             " samples and a beam of ", options.beam_size);
  QN_REQUIRE(std::isfinite(options.length_penalty), ErrorKind::kConfig, "length penalty: found ",
             options.length_penalty, ", expected a number");
}

void adjust_scores(const GenerateOptions& options, int64_t length, std::vector<float>& scores) {
  const auto in_range = [&](int64_t token) {
    return token >= 0 && token < static_cast<int64_t>(scores.size());
  };
  const auto ban = [&](int64_t token) {
    if (in_range(token)) scores[static_cast<size_t>(token)] = -std::numeric_limits<float>::infinity();
  };
  for (const int64_t token : options.banned) ban(token);
  if (length < options.min_length) ban(options.end_token);
  if (in_range(options.penalized_token))
    scores[static_cast<size_t>(options.penalized_token)] -= static_cast<float>(options.penalty);
}

double log_sum_exp(std::span<const float> logits) {
  const float best = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - best);
  return static_cast<double>(best) + std::log(sum);
}

std::unique_ptr<Growth> make_sampling(const GenerateOptions& options, uint64_t prompt_number) {
  return std::make_unique<Sampling>(options, prompt_number);
}

std::vector<std::vector<GeneratedSequence>> generate(Scorer& scorer, std::span<const Tokens> prompts,
                                                     const GenerateOptions& options) {
  check(options);
  QN_REQUIRE(!options.on_token || prompts.size() <= 1, ErrorKind::kConfig,
             "a callback for tokens follows one prompt, found ", prompts.size());
  const bool is_one = prompts.size() == 1 && options.prompt_number == 0;
  for (size_t i = 0; i < prompts.size(); ++i)
    check_prompt(scorer, prompts[i], is_one ? 0 : options.prompt_number + i + 1);
  std::vector<std::vector<GeneratedSequence>> results;
  const auto at_once = static_cast<size_t>(std::max<int64_t>(1, scorer.max_prompts()));
  for (size_t first = 0; first < prompts.size(); first += at_once) {
    auto group = generate_together(scorer, prompts.subspan(first, std::min(at_once, prompts.size() - first)),
                                   options, options.prompt_number + first);
    std::move(group.begin(), group.end(), std::back_inserter(results));
  }
  return results;
}

std::vector<GeneratedSequence> generate(Scorer& scorer, std::span<const int64_t> prompt,
                                        const GenerateOptions& options) {
  const Tokens tokens(prompt.begin(), prompt.end());
  return std::move(generate(scorer, {&tokens, 1}, options).front());
}

}  // namespace quantnoise::search
