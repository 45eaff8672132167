#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "core/search/growth.h"
#include "quantnoise/base/error.h"

namespace quantnoise::search {

namespace {

constexpr float kImpossible = -std::numeric_limits<float>::infinity();

struct Hypothesis {
  GeneratedSequence sequence;
  double score = 0;  ///< Σ ln p with temperature, bans and penalties
};

struct Candidate {
  int64_t parent = 0;
  int64_t token = 0;
  double score = 0;

  /// Better ones first; of equals the lower parent, then the lower token.
  bool operator<(const Candidate& other) const {
    if (score != other.score) return score > other.score;
    return parent != other.parent ? parent < other.parent : token < other.token;
  }
};

class Beam : public Growth {
 public:
  explicit Beam(const GenerateOptions& options) : options_(options), live_(1) {}

  NextTokens step(std::span<const float> logits) override {
    const size_t vocabulary = logits.size() / live_.size();
    std::vector<double> normalizers;
    std::vector<Candidate> candidates;
    for (size_t i = 0; i < live_.size(); ++i) {
      const auto row = logits.subspan(i * vocabulary, vocabulary);
      normalizers.push_back(log_sum_exp(row));
      collect(static_cast<int64_t>(i), row, candidates);
    }
    std::sort(candidates.begin(), candidates.end());
    QN_REQUIRE(!candidates.empty(), ErrorKind::kNumeric,
               "no token can be chosen: all scores are minus infinity");
    const auto log_prob = [&](const Candidate& c) {
      return static_cast<double>(
                 logits[static_cast<size_t>(c.parent) * vocabulary + static_cast<size_t>(c.token)]) -
             normalizers[static_cast<size_t>(c.parent)];
    };
    return take(candidates, log_prob);
  }

  std::vector<GeneratedSequence> finish() override {
    for (Hypothesis& hypothesis : live_) {
      if (!is_full()) end(std::move(hypothesis));
    }
    std::stable_sort(ended_.begin(), ended_.end(),
                     [](const Hypothesis& a, const Hypothesis& b) { return a.score > b.score; });
    std::vector<GeneratedSequence> sequences;
    for (Hypothesis& hypothesis : ended_) {
      if (static_cast<int64_t>(sequences.size()) < options_.num_samples)
        sequences.push_back(std::move(hypothesis.sequence));
    }
    return sequences;
  }

 private:
  size_t beam_size() const { return static_cast<size_t>(options_.beam_size); }
  bool is_full() const { return ended_.size() >= beam_size(); }

  /// The best 2 · beam_size continuations of one hypothesis: as many can end as go on.
  void collect(int64_t parent, std::span<const float> logits, std::vector<Candidate>& candidates) {
    const Hypothesis& hypothesis = live_[static_cast<size_t>(parent)];
    scores_.clear();
    const float best = *std::max_element(logits.begin(), logits.end());
    for (const float logit : logits) {
      const auto gap = static_cast<float>(gap_to_best(logit, best, options_.sampling.temperature));
      scores_.push_back(logit == kImpossible ? logit : gap);
    }
    const double normalizer = log_sum_exp(scores_);
    adjust_scores(options_, static_cast<int64_t>(hypothesis.sequence.tokens.size()), scores_);
    std::vector<Candidate> own;
    for (size_t i = 0; i < scores_.size(); ++i) {
      QN_REQUIRE(!std::isnan(scores_[i]), ErrorKind::kNumeric, "the score of token ", i, " is not a number");
      QN_REQUIRE(scores_[i] != -kImpossible, ErrorKind::kNumeric, "the score of token ", i, " is infinite");
      if (scores_[i] == kImpossible) continue;
      own.push_back(
          {parent, static_cast<int64_t>(i), hypothesis.score + static_cast<double>(scores_[i]) - normalizer});
    }
    const size_t kept = std::min(2 * beam_size(), own.size());
    std::partial_sort(own.begin(), own.begin() + static_cast<std::ptrdiff_t>(kept), own.end());
    candidates.insert(candidates.end(), own.begin(), own.begin() + static_cast<std::ptrdiff_t>(kept));
  }

  template <typename LogProb>
  NextTokens take(const std::vector<Candidate>& candidates, const LogProb& log_prob) {
    NextTokens next;
    std::vector<Hypothesis> grown;
    for (size_t rank = 0; rank < std::min(2 * beam_size(), candidates.size()); ++rank) {
      const Candidate& candidate = candidates[rank];
      const bool ends = candidate.token == options_.end_token;
      if (ends ? rank >= beam_size() || is_full() : grown.size() >= beam_size()) continue;
      Hypothesis hypothesis = live_[static_cast<size_t>(candidate.parent)];
      hypothesis.score = candidate.score;
      hypothesis.sequence.log_prob += log_prob(candidate);
      hypothesis.sequence.ended = ends;
      if (ends) {
        end(std::move(hypothesis));
        continue;
      }
      hypothesis.sequence.tokens.push_back(candidate.token);
      next.parents.push_back(candidate.parent);
      next.tokens.push_back(candidate.token);
      grown.push_back(std::move(hypothesis));
    }
    live_ = std::move(grown);
    const bool at_limit =
        !live_.empty() && static_cast<int64_t>(live_.front().sequence.tokens.size()) >= options_.max_length;
    if (is_full() || at_limit) return {};
    return next;
  }

  /// Into the results, ranked by Σ ln p / length^penalty; the end token counts.
  void end(Hypothesis hypothesis) {
    const double length =
        static_cast<double>(hypothesis.sequence.tokens.size()) + (hypothesis.sequence.ended ? 1 : 0);
    hypothesis.score /= std::pow(std::max(length, 1.0), options_.length_penalty);
    ended_.push_back(std::move(hypothesis));
  }

  const GenerateOptions& options_;
  std::vector<Hypothesis> live_;  ///< all of the same length
  std::vector<Hypothesis> ended_;
  std::vector<float> scores_;
};

}  // namespace

std::unique_ptr<Growth> make_beam(const GenerateOptions& options) { return std::make_unique<Beam>(options); }

}  // namespace quantnoise::search
