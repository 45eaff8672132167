#pragma once
// From token numbers to vectors: plain and adaptive tables, positions.

#include <vector>

#include "core/runtime/plan.h"
#include "quantnoise/architecture/adaptive_bands.h"
#include "quantnoise/architecture/transformer_lm.h"

namespace quantnoise::runtime {

/// A table of the vocabulary, or one a band with a projection each.
class TokenInput {
 public:
  TokenInput(const architecture::TransformerLmOptions& options, Plan& plan);

  /// out: (tokens.size(), dim()). Errors: kData for a number that is not in the vocabulary.
  void forward(std::span<const int64_t> tokens, float* out, Context& context) const;
  int64_t dim() const { return dim_; }

 private:
  struct Part {
    architecture::Band band;
    Embedding table;
    std::optional<Linear> projection;  ///< of adaptive inputs
  };
  void forward_band(const Part& part, std::span<const int64_t> tokens, float* out, Context& context) const;

  int64_t vocab_size_;
  int64_t dim_;
  std::vector<Part> parts_;
};

/// Vectors of positions: trained, sinusoidal or none.
class Positions {
 public:
  Positions(const architecture::TransformerLmOptions& options, Plan& plan);
  /// Sinusoidal: takes memory by the number of features, so only when weights of that size have been found.
  void prepare();

  /// Adds the vector of row `index` to out (dim); index: padding_idx + the number of tokens so far that are
  /// not padding, or padding_idx for padding.
  void add(int64_t index, float* out) const;

 private:
  int64_t dim_;
  int64_t padding_idx_;
  bool is_sinusoidal_ = false;
  std::optional<Embedding> table_;
  std::vector<float> frequencies_;  ///< sinusoidal: (dim / 2)
};

}  // namespace quantnoise::runtime
