#pragma once
// Choosing tokens from scores. Free of any framework: training and runtime both generate through this
// component.

#include <cstdint>
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

/// A language model that continues sequences: torch models in training, packed models in the runtime.
class Scorer {
 public:
  virtual ~Scorer() = default;
  /// Longest sequence the model can see; ≤ 0: any.
  virtual int64_t max_positions() const = 0;
  /// Forgets everything and reads one prompt (not empty) on behalf of `num_sequences` equal sequences.
  /// Returns the logits of the next token, (num_sequences, vocabulary), valid until the next call.
  virtual std::span<const float> start(std::span<const int64_t> prompt, int64_t num_sequences) = 0;
  /// Appends one token to every sequence; returns as start().
  virtual std::span<const float> advance(std::span<const int64_t> tokens) = 0;
};

struct GenerateOptions {
  SamplingOptions sampling;
  int64_t num_samples = 1;
  int64_t max_length = 100;      ///< new tokens a sample
  int64_t min_length = 0;        ///< the end token is banned before
  int64_t end_token = -1;        ///< a sample ends with it; −1: only max_length ends it
  std::vector<int64_t> banned;   ///< never chosen
  int64_t penalized_token = -1;  ///< its score is lowered by `penalty`
  double penalty = 0;
  uint64_t seed = 1;
  uint64_t prompt_number = 0;  ///< part of the key of the random numbers
};

struct GeneratedSequence {
  std::vector<int64_t> tokens;  ///< without the prompt, without the end token
  double log_prob = 0;  ///< Σ ln p(token | before) under the model itself (temperature 1, nothing banned)
  bool ended = false;   ///< met the end token
};

/// Samples continuations. Draw t of sample s is a function of (seed, prompt_number, s, t) alone: more samples
/// or a longer limit do not change those there are. Stops at the model's max_positions. Errors: kConfig for
/// options out of range; kData for a prompt that leaves no room in max_positions.
std::vector<GeneratedSequence> generate(Scorer& scorer, std::span<const int64_t> prompt,
                                        const GenerateOptions& options);

}  // namespace quantnoise::search
