#include "quantnoise/search/sampling.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "core/search/growth.h"
#include "quantnoise/base/error.h"

namespace quantnoise::search {

namespace {

constexpr float kImpossible = -std::numeric_limits<float>::infinity();

struct Candidate {
  int64_t token = 0;
  double weight = 0;  // probability, not normalized
};

/// Better scores first; equal scores by number, so that the order is the same everywhere.
bool is_better(std::span<const float> logits, int64_t a, int64_t b) {
  return logits[static_cast<size_t>(a)] != logits[static_cast<size_t>(b)]
             ? logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)]
             : a < b;
}

int64_t best_token(std::span<const float> logits) {
  int64_t best = -1;
  for (size_t i = 0; i < logits.size(); ++i) {
    QN_REQUIRE(!std::isnan(logits[i]), ErrorKind::kNumeric, "the score of token ", i, " is not a number");
    if (logits[i] == kImpossible) continue;
    if (best < 0 || logits[i] > logits[static_cast<size_t>(best)]) best = static_cast<int64_t>(i);
  }
  QN_REQUIRE(best >= 0, ErrorKind::kNumeric, "no token can be chosen: all scores are minus infinity");
  return best;
}

/// The tokens that top-k and top-p leave; sorted by score whenever one of them is on.
std::vector<Candidate> candidates_of(std::span<const float> logits, const SamplingOptions& options,
                                     float best) {
  std::vector<int64_t> tokens;
  for (size_t i = 0; i < logits.size(); ++i) {
    if (logits[i] != kImpossible) tokens.push_back(static_cast<int64_t>(i));
  }
  const auto better = [&](int64_t a, int64_t b) { return is_better(logits, a, b); };
  if (options.top_k > 0 && options.top_k < static_cast<int64_t>(tokens.size())) {
    std::partial_sort(tokens.begin(), tokens.begin() + options.top_k, tokens.end(), better);
    tokens.resize(static_cast<size_t>(options.top_k));
  } else if (options.top_p < 1) {
    std::sort(tokens.begin(), tokens.end(), better);
  }
  std::vector<Candidate> candidates;
  candidates.reserve(tokens.size());
  for (const int64_t token : tokens) {
    const double gap = gap_to_best(logits[static_cast<size_t>(token)], best, options.temperature);
    candidates.push_back({token, std::exp(gap)});
  }
  return candidates;
}

double total_weight(const std::vector<Candidate>& candidates) {
  double total = 0;
  for (const Candidate& candidate : candidates) total += candidate.weight;
  return total;
}

void keep_nucleus(std::vector<Candidate>& candidates, double top_p) {
  const double wanted = top_p * total_weight(candidates);
  double sum = 0;
  size_t kept = 0;
  while (kept < candidates.size() && sum < wanted) sum += candidates[kept++].weight;
  candidates.resize(std::max<size_t>(kept, 1));
}

}  // namespace

void check(const SamplingOptions& options) {
  if (!(options.temperature > 0 && std::isfinite(options.temperature))) {
    throw Error(ErrorKind::kConfig,
                str_cat("temperature: found ", options.temperature, ", expected a number above 0"),
                "greedy choice always takes the best token");
  }
  QN_REQUIRE(options.top_p > 0 && options.top_p <= 1, ErrorKind::kConfig, "top-p: found ", options.top_p,
             ", expected a number above 0 and at most 1");
}

int64_t choose_token(std::span<const float> logits, const SamplingOptions& options, double draw) {
  const int64_t best = best_token(logits);
  if (options.greedy) return best;
  std::vector<Candidate> candidates = candidates_of(logits, options, logits[static_cast<size_t>(best)]);
  if (options.top_p < 1) keep_nucleus(candidates, options.top_p);
  double rest = draw * total_weight(candidates);
  for (const Candidate& candidate : candidates) {
    if (rest < candidate.weight) return candidate.token;
    rest -= candidate.weight;
  }
  // Rounding can leave a rest; the last token with any probability takes it.
  const auto last = std::find_if(candidates.rbegin(), candidates.rend(),
                                 [](const Candidate& candidate) { return candidate.weight > 0; });
  return last->token;
}

}  // namespace quantnoise::search
