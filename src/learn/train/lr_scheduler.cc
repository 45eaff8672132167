#include "quantnoise/train/lr_scheduler.h"

#include "learn/train/lr_schedulers.h"
#include "learn/train/registry.h"

namespace quantnoise::train {
namespace {

using Factory = std::unique_ptr<LrScheduler> (*)(const LrSchedulerOptions&);

const Registry<Factory>& registry() {
  static const Registry<Factory> table = {"--lr-scheduler",
                                          {{"cosine", make_cosine},
                                           {"fixed", make_fixed},
                                           {"inverse_sqrt", make_inverse_sqrt},
                                           {"polynomial_decay", make_polynomial_decay},
                                           {"reduce_lr_on_plateau", make_reduce_lr_on_plateau},
                                           {"triangular", make_triangular}}};
  return table;
}

std::optional<int64_t> optional_int(const config::OptionValues& values, const char* name) {
  return values.has_value(name) ? std::optional<int64_t>(values.get_int(name)) : std::nullopt;
}

std::optional<double> optional_float(const config::OptionValues& values, const char* name) {
  return values.has_value(name) ? std::optional<double>(values.get_float(name)) : std::nullopt;
}

}  // namespace

LrSchedulerOptions lr_scheduler_options(const config::OptionValues& values) {
  LrSchedulerOptions options;
  options.lr = values.get_float_list("lr");
  options.warmup_updates = optional_int(values, "warmup-updates");
  options.warmup_init_lr = values.get_float("warmup-init-lr");
  options.min_lr = values.get_float("min-lr");
  options.lr_period_updates = optional_float(values, "lr-period-updates");
  // fairseq's own default for "not given".
  if (options.lr_period_updates == -1) options.lr_period_updates.reset();
  options.t_mult = values.get_float("t-mult");
  options.lr_shrink = values.get_float("lr-shrink");
  options.force_anneal = optional_int(values, "force-anneal");
  options.end_learning_rate = values.get_float("end-learning-rate");
  options.power = values.get_float("power");
  options.total_num_update = optional_int(values, "total-num-update");
  options.max_lr = optional_float(values, "max-lr");
  options.shrink_min = values.get_bool("shrink-min");
  options.lr_threshold = values.get_float("lr-threshold");
  options.lr_patience = values.get_int("lr-patience");
  options.maximize_metric = values.get_bool("maximize-best-checkpoint-metric");
  options.max_update = values.get_int("max-update");
  return options;
}

std::vector<std::string> lr_scheduler_names() { return registry().names(); }

std::unique_ptr<LrScheduler> make_lr_scheduler(const std::string& name, const LrSchedulerOptions& options) {
  const Factory factory = registry().find(name);
  QN_REQUIRE(!options.lr.empty(), ErrorKind::kConfig, "--lr needs at least one number");
  QN_REQUIRE(options.lr.size() == 1 || name == "fixed", ErrorKind::kConfig, "--lr-scheduler ", name,
             " takes one learning rate, not ", options.lr.size(),
             "; a rate for each epoch needs --lr-scheduler fixed");
  return factory(options);
}

}  // namespace quantnoise::train
