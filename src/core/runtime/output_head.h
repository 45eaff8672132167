#pragma once
// From features to probabilities of words: one projection, or an adaptive softmax (Grave et al. 2017).

#include <vector>

#include "core/runtime/plan.h"
#include "quantnoise/architecture/adaptive_bands.h"
#include "quantnoise/architecture/transformer_lm.h"

namespace quantnoise::runtime {

class OutputHead {
 public:
  virtual ~OutputHead() = default;
  /// features: (n, output_dim); out: (n, vocabulary): scores whose softmax are the probabilities.
  virtual void scores(const float* features, int64_t n, float* out, Context& context) const = 0;
  /// ln p of one word a row; targets, out: (n).
  virtual void target_log_probs(const float* features, std::span<const int64_t> targets, float* out,
                                Context& context) const = 0;
};

std::unique_ptr<OutputHead> make_output_head(const architecture::TransformerLmOptions& options, Plan& plan);

}  // namespace quantnoise::runtime
