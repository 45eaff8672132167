#pragma once
// What training minimizes.

#include <torch/torch.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "quantnoise/config/options.h"
#include "quantnoise/data/dataset.h"
#include "quantnoise/models/transformer_lm.h"

namespace quantnoise::train {

struct CriterionResult {
  at::Tensor loss;          ///< fp32 scalar, natural log, summed over the batch, differentiable
  int64_t sample_size = 0;  ///< what gradients are divided by: targets, or sentences with --sentence-avg
};

class Criterion {
 public:
  virtual ~Criterion() = default;
  /// Errors: kConfig for a model that this criterion cannot train.
  virtual void require_fits(const models::LanguageModel& model) const {}
  /// One forward pass of a batch that is not empty.
  virtual CriterionResult forward(models::LanguageModel& model, const data::Batch& batch) const = 0;
};

struct CriterionOptions {
  bool sentence_avg = false;
};
CriterionOptions criterion_options(const config::OptionValues& values);

/// Names for --criterion.
std::vector<std::string> criterion_names();
/// Errors: kConfig for an unknown name, with those there are.
std::unique_ptr<Criterion> make_criterion(const std::string& name, const CriterionOptions& options);

}  // namespace quantnoise::train
