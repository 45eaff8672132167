#pragma once
// One update at a time: forward and backward passes of some batches, clipping, optimizer step.

#include <torch/torch.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "quantnoise/data/dataset.h"
#include "quantnoise/models/transformer_lm.h"
#include "quantnoise/train/criterion.h"
#include "quantnoise/train/loss_scale.h"
#include "quantnoise/train/lr_scheduler.h"
#include "quantnoise/train/optimizer.h"

namespace quantnoise::train {

struct TrainerOptions {
  uint64_t seed = 1;
  double clip_norm = 0;                      ///< 0: no limit
  at::ScalarType compute_type = at::kFloat;  ///< kFloat or kBFloat16
  /// For products in fp16, which no CPU has here: gradients that overflow then skip the update.
  std::optional<LossScaleOptions> loss_scale = {};
};

struct UpdateStats {
  double loss = 0;  ///< natural log, summed over all batches
  int64_t sample_size = 0;
  int64_t num_tokens = 0;  ///< targets
  int64_t num_sentences = 0;
  double lr = 0;
  double gradient_norm = 0;  ///< before clipping
  bool clipped = false;
  bool overflowed = false;  ///< no step was made: the loss scale was too large, and is halved
};

/// Model, criterion, optimizer and schedule at work. The optimizer must be bound to the model's parameters.
class Trainer {
 public:
  Trainer(std::shared_ptr<models::LanguageModel> model, std::unique_ptr<Criterion> criterion,
          std::unique_ptr<Optimizer> optimizer, std::unique_ptr<LrScheduler> scheduler,
          const TrainerOptions& options);

  /// Update number num_updates() (from 0) with these batches: gradients are summed over them and divided by
  /// the total sample size. Every random draw is a function of (seed, update, batch in the update). With a
  /// loss scale, an overflow leaves weights, optimizer and num_updates() as they are. Errors:
  /// kNumeric for a loss or gradient that is not finite, naming the first layer or parameter at fault;
  /// weights and optimizer are then as before.
  UpdateStats update(std::span<const data::Batch> batches);

  int64_t num_updates() const { return num_updates_; }
  void set_num_updates(int64_t num_updates) { num_updates_ = num_updates; }
  /// Rate of the next update.
  double lr() const { return scheduler_->lr(num_updates_); }

  models::LanguageModel& model() { return *model_; }
  Optimizer& optimizer() { return *optimizer_; }
  LrScheduler& scheduler() { return *scheduler_; }
  const TrainerOptions& options() const { return options_; }

 private:
  void accumulate(const data::Batch& batch, UpdateStats& stats);
  /// Gives parameters without a gradient one of zeros: layers that were left out, tails without a word. Their
  /// momentum goes on.
  std::vector<at::Tensor> all_gradients();
  /// What the gradients are to be multiplied by: the average over the samples, and clipping. Writes their
  /// norm to `stats`. Errors: kNumeric when it is not finite and no loss scale is to blame.
  double gradient_scale(UpdateStats& stats);

  std::shared_ptr<models::LanguageModel> model_;
  std::unique_ptr<Criterion> criterion_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<LrScheduler> scheduler_;
  TrainerOptions options_;
  std::optional<LossScale> loss_scale_;
  int64_t num_updates_ = 0;
};

/// Makes torch's operators repeatable (without filling uninitialized memory) and, when num_threads > 0, sets
/// their number of threads. Process-wide.
void set_up_torch(int num_threads);

}  // namespace quantnoise::train
