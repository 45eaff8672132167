#pragma once
// Learning rate schedules with fairseq's definitions.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "quantnoise/config/options.h"

namespace quantnoise::train {

/// A function of the update number; some schedules also look at epochs and validation.
class LrScheduler {
 public:
  virtual ~LrScheduler() = default;

  /// Rate for update `num_updates`, counted from 0.
  virtual double lr(int64_t num_updates) const = 0;
  /// Before the first update of an epoch (counted from 1), also after a restart in the middle of it.
  virtual void begin_epoch(int64_t epoch) {}
  /// After an epoch, with the validation metric if there was a validation.
  virtual void end_epoch(int64_t epoch, std::optional<double> metric, int64_t num_updates) {}

  /// What a checkpoint must hold beside the update number and the epoch.
  virtual std::map<std::string, double> state() const { return {}; }
  virtual void load_state(const std::map<std::string, double>& state) {}
};

struct LrSchedulerOptions {
  std::vector<double> lr = {0.25};        ///< more than one: by epoch, `fixed` only
  std::optional<int64_t> warmup_updates;  ///< default: 4000 for inverse_sqrt, else 0
  double warmup_init_lr = -1;             ///< negative: the schedule's own choice
  double min_lr = 0;
  std::optional<double> lr_period_updates;
  double t_mult = 1;
  double lr_shrink = 0.1;
  std::optional<int64_t> force_anneal;  ///< epoch
  double end_learning_rate = 0;
  double power = 1;
  std::optional<int64_t> total_num_update;
  std::optional<double> max_lr;
  bool shrink_min = false;
  double lr_threshold = 1e-4;
  int64_t lr_patience = 0;
  bool maximize_metric = false;
  int64_t max_update = 0;  ///< 0: unknown
};
LrSchedulerOptions lr_scheduler_options(const config::OptionValues& values);

/// Names for --lr-scheduler.
std::vector<std::string> lr_scheduler_names();
/// Errors: kConfig for an unknown name, or options that the schedule cannot work with.
std::unique_ptr<LrScheduler> make_lr_scheduler(const std::string& name, const LrSchedulerOptions& options);

}  // namespace quantnoise::train
