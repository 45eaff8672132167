#pragma once
// The sequences of one prompt while they grow.

#include <memory>
#include <span>
#include <vector>

#include "quantnoise/search/sampling.h"

namespace quantnoise::search {

/// What a prompt's live sequences do next: number i goes on from live sequence parents[i] with tokens[i].
struct NextTokens {
  std::vector<int64_t> parents;
  std::vector<int64_t> tokens;
};

class Growth {
 public:
  virtual ~Growth() = default;
  /// logits: (live sequences, vocabulary). Nothing is live any more when the answer is empty.
  virtual NextTokens step(std::span<const float> logits) = 0;
  /// All results; what is live ends where it is.
  virtual std::vector<GeneratedSequence> finish() = 0;
};

/// options must outlive the growth. prompt_number: options.prompt_number counts from the first prompt.
std::unique_ptr<Growth> make_sampling(const GenerateOptions& options, uint64_t prompt_number);
std::unique_ptr<Growth> make_beam(const GenerateOptions& options);

/// Scores with the banned and penalized tokens of the options worked in, for a sequence of `length` new
/// tokens.
void adjust_scores(const GenerateOptions& options, int64_t length, std::vector<float>& scores);

/// (logit − best) / temperature. The best itself may be +infinity, and its difference to itself is not a
/// number: 0.
inline double gap_to_best(float logit, float best, double temperature) {
  return logit == best ? 0.0 : (static_cast<double>(logit) - best) / temperature;
}

/// ln of the sum of e^logit: ln p of a token is its logit less this.
double log_sum_exp(std::span<const float> logits);

}  // namespace quantnoise::search
