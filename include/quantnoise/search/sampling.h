#pragma once
// Choosing tokens from scores. Free of any framework: training and runtime both generate through this
// component.

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "quantnoise/base/random.h"

namespace quantnoise::search {

/// How one token is chosen among the scores of all. The order of operations: banned tokens leave, temperature
/// divides, top_k keeps the best k, top_p keeps the smallest set of best tokens whose probability reaches p,
/// one is drawn.
struct SamplingOptions {
  bool greedy = false;     ///< always the best token; ties to the lowest number
  double temperature = 1;  ///< > 0; below 1 sharper, above 1 flatter
  int64_t top_k = 0;       ///< ≤ 0: all
  double top_p = 1;        ///< (0, 1]; 1: all
};

/// Errors: kConfig naming the option and the range.
void check(const SamplingOptions& options);

/// One token. logits: (vocabulary), not normalized; −∞ is never chosen. draw: uniform in [0, 1), unused when
/// greedy. Errors: kNumeric when a score is not a number, or no token can be chosen.
int64_t choose_token(std::span<const float> logits, const SamplingOptions& options, double draw);

using Tokens = std::vector<int64_t>;

/// A language model that continues sequences: torch models in training, packed models in the runtime.
class Scorer {
 public:
  virtual ~Scorer() = default;
  /// Longest sequence the model can see; ≤ 0: any.
  virtual int64_t max_positions() const = 0;
  /// Prompts that start() takes at once.
  virtual int64_t max_prompts() const { return 1; }
  /// Forgets everything and reads the prompts (none of them empty), each on behalf of `num_sequences` equal
  /// sequences: number p · num_sequences + s continues prompt p. Returns the logits of the next tokens,
  /// (sequences, vocabulary), valid until the next call.
  virtual std::span<const float> start(std::span<const Tokens> prompts, int64_t num_sequences) = 0;
  /// Appends one token to every sequence; returns as start().
  virtual std::span<const float> advance(std::span<const int64_t> tokens) = 0;
  /// From now on there are parents.size() sequences; number i goes on as what was number parents[i].
  virtual void select(std::span<const int64_t> parents) = 0;
};

struct GenerateOptions {
  SamplingOptions sampling;
  int64_t num_samples = 1;       ///< 1 … 1000 sequences a prompt; of a beam: the best ones
  int64_t beam_size = 0;         ///< 1 … 1000: beam search with so many hypotheses instead of sampling
  double length_penalty = 1;     ///< beam: hypotheses are ranked by Σ ln p / length^this
  int64_t max_length = 100;      ///< new tokens a sample
  int64_t min_length = 0;        ///< the end token is banned before; at most max_length
  int64_t end_token = -1;        ///< a sample ends with it; −1: only max_length ends it
  std::vector<int64_t> banned;   ///< never chosen
  int64_t penalized_token = -1;  ///< its score is lowered by `penalty`
  double penalty = 0;
  uint64_t seed = 1;
  uint64_t prompt_number = 0;  ///< part of the key of the random numbers
  /// Called with every new token (not with the end token); false ends the sample. For one prompt and one
  /// sample, without a beam.
  std::function<bool(int64_t token)> on_token = nullptr;
};

struct GeneratedSequence {
  Tokens tokens;        ///< without the prompt, without the end token
  double log_prob = 0;  ///< Σ ln p(token | before) under the model itself (temperature 1, nothing banned)
  bool ended = false;   ///< met the end token
};

/// Errors: kConfig naming the option and the range.
void check(const GenerateOptions& options);

/// Continues every prompt; result i belongs to prompt i. Stops at the model's max_positions.
///
/// Sampling: draw t of sample s is a function of (seed, prompt_number + i, s, t) alone: more samples, a
/// longer limit or other prompts beside it do not change those there are. Beam search as fairseq's: each step
/// keeps the beam_size best continuations that do not end, and takes those among the best beam_size that end
/// into the results; a prompt is done with beam_size results. What is unfinished at the limit of length ends
/// there. An end token counts in log_prob and length. Errors: kConfig for options out of range; kData for a
/// prompt that is empty or leaves no room in max_positions.
std::vector<std::vector<GeneratedSequence>> generate(Scorer& scorer, std::span<const Tokens> prompts,
                                                     const GenerateOptions& options);
/// The same for one prompt.
std::vector<GeneratedSequence> generate(Scorer& scorer, std::span<const int64_t> prompt,
                                        const GenerateOptions& options);

}  // namespace quantnoise::search
