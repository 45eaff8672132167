#include "quantnoise/train/criterion.h"

#include "learn/train/registry.h"
#include "quantnoise/base/error.h"

namespace quantnoise::train {
namespace {

/// Sum of −ln p(target) over all targets that are not padding.
class CrossEntropy : public Criterion {
 public:
  explicit CrossEntropy(const CriterionOptions& options) : options_(options) {}

  CriterionResult forward(models::LanguageModel& model, const data::Batch& batch) const override {
    const at::Tensor features = model.features(batch.tokens);
    return {model.nll_sum(features, batch.target),
            options_.sentence_avg ? batch.num_sentences : batch.num_tokens};
  }

 private:
  CriterionOptions options_;
};

/// The same sum over head and tails of an adaptive softmax.
class AdaptiveLoss : public CrossEntropy {
 public:
  using CrossEntropy::CrossEntropy;
  void require_fits(const models::LanguageModel& model) const override {
    QN_REQUIRE(model.has_adaptive_softmax(), ErrorKind::kConfig,
               "--criterion adaptive_loss: the model has no adaptive softmax (--adaptive-softmax-cutoff)");
  }
};

std::unique_ptr<Criterion> make_adaptive_loss(const CriterionOptions& options) {
  return std::make_unique<AdaptiveLoss>(options);
}

std::unique_ptr<Criterion> make_cross_entropy(const CriterionOptions& options) {
  return std::make_unique<CrossEntropy>(options);
}

using Factory = std::unique_ptr<Criterion> (*)(const CriterionOptions&);

const Registry<Factory>& registry() {
  static const Registry<Factory> table = {
      "--criterion", {{"cross_entropy", make_cross_entropy}, {"adaptive_loss", make_adaptive_loss}}};
  return table;
}

}  // namespace

CriterionOptions criterion_options(const config::OptionValues& values) {
  CriterionOptions options;
  options.sentence_avg = values.get_bool("sentence-avg");
  return options;
}

std::vector<std::string> criterion_names() { return registry().names(); }

std::unique_ptr<Criterion> make_criterion(const std::string& name, const CriterionOptions& options) {
  return registry().find(name)(options);
}

}  // namespace quantnoise::train
