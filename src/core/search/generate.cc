#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "quantnoise/base/error.h"
#include "quantnoise/search/sampling.h"

namespace quantnoise::search {

namespace {

double log_prob_of(std::span<const float> logits, int64_t token) {
  const float best = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - best);
  return static_cast<double>(logits[static_cast<size_t>(token)]) - best - std::log(sum);
}

/// One sample while it grows.
class Sampler {
 public:
  Sampler(const GenerateOptions& options, int64_t sample)
      : options_(options),
        stream_(options.seed, base::hash_name("generate"), options.prompt_number,
                static_cast<uint32_t>(sample)) {}

  bool done() const { return done_; }
  /// Chooses the next token from its logits and returns it. A finished sample goes on with its last token,
  /// unheard.
  int64_t step(std::span<const float> logits) {
    if (done_) return last_;
    scores_.assign(logits.begin(), logits.end());
    for (const int64_t token : options_.banned) ban(token);
    if (length() < options_.min_length) ban(options_.end_token);
    if (in_range(options_.penalized_token)) {
      scores_[static_cast<size_t>(options_.penalized_token)] -= static_cast<float>(options_.penalty);
    }
    last_ = choose_token(scores_, options_.sampling, stream_.uniform(static_cast<uint64_t>(length())));
    result_.log_prob += log_prob_of(logits, last_);
    result_.ended = last_ == options_.end_token;
    if (!result_.ended) result_.tokens.push_back(last_);
    done_ = result_.ended || length() >= options_.max_length;
    return last_;
  }
  GeneratedSequence take() { return std::move(result_); }

 private:
  int64_t length() const { return static_cast<int64_t>(result_.tokens.size()); }
  bool in_range(int64_t token) const { return token >= 0 && token < static_cast<int64_t>(scores_.size()); }
  void ban(int64_t token) {
    if (in_range(token)) scores_[static_cast<size_t>(token)] = -std::numeric_limits<float>::infinity();
  }

  const GenerateOptions& options_;
  base::RandomStream stream_;
  GeneratedSequence result_;
  std::vector<float> scores_;
  int64_t last_ = 0;
  bool done_ = false;
};

void check_request(const Scorer& scorer, std::span<const int64_t> prompt, const GenerateOptions& options) {
  check(options.sampling);
  QN_REQUIRE(options.num_samples >= 1, ErrorKind::kConfig, "number of samples: found ", options.num_samples,
             ", expected at least 1");
  QN_REQUIRE(options.max_length >= 1, ErrorKind::kConfig, "max-len: found ", options.max_length,
             ", expected at least 1");
  QN_REQUIRE(!prompt.empty(), ErrorKind::kData, "a prompt needs at least one token");
  const auto length = static_cast<int64_t>(prompt.size());
  QN_REQUIRE(scorer.max_positions() <= 0 || length <= scorer.max_positions(), ErrorKind::kData,
             "the prompt has ", length, " tokens, the model sees at most ", scorer.max_positions());
}

}  // namespace

std::vector<GeneratedSequence> generate(Scorer& scorer, std::span<const int64_t> prompt,
                                        const GenerateOptions& options) {
  check_request(scorer, prompt, options);
  std::vector<Sampler> samplers;
  for (int64_t sample = 0; sample < options.num_samples; ++sample) samplers.emplace_back(options, sample);

  std::vector<int64_t> tokens(samplers.size());
  auto position = static_cast<int64_t>(prompt.size());
  std::span<const float> logits = scorer.start(prompt, options.num_samples);
  const auto vocabulary = logits.size() / samplers.size();
  while (true) {
    for (size_t i = 0; i < samplers.size(); ++i)
      tokens[i] = samplers[i].step(logits.subspan(i * vocabulary, vocabulary));
    const bool all_done =
        std::all_of(samplers.begin(), samplers.end(), [](const Sampler& s) { return s.done(); });
    const bool no_room = scorer.max_positions() > 0 && position >= scorer.max_positions();
    if (all_done || no_room) break;
    logits = scorer.advance(tokens);
    ++position;
  }
  std::vector<GeneratedSequence> sequences;
  for (Sampler& sampler : samplers) sequences.push_back(sampler.take());
  return sequences;
}

}  // namespace quantnoise::search
