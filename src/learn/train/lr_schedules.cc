#include <algorithm>
#include <cmath>
#include <numbers>

#include "learn/train/lr_schedulers.h"
#include "quantnoise/base/error.h"

namespace quantnoise::train {
namespace {

class Cosine : public LrScheduler {
 public:
  explicit Cosine(const LrSchedulerOptions& options)
      : max_lr_(options.lr.front()),
        min_lr_(std::min(options.min_lr, max_lr_)),
        t_mult_(options.t_mult),
        shrink_(options.lr_shrink),
        warmup_(options.warmup_updates.value_or(0)),
        warmup_init_lr_(options.warmup_init_lr < 0 ? min_lr_ : options.warmup_init_lr) {
    QN_REQUIRE(options.lr_period_updates.has_value() || options.max_update > 0, ErrorKind::kConfig,
               "--lr-scheduler cosine needs --lr-period-updates or --max-update");
    period_ = options.lr_period_updates.value_or(static_cast<double>(options.max_update - warmup_));
    QN_REQUIRE(period_ > 0, ErrorKind::kConfig, "--lr-scheduler cosine: the period is ", period_,
               " updates, expected more than 0");
    QN_REQUIRE(t_mult_ >= 1, ErrorKind::kConfig, "--t-mult is ", t_mult_, ", expected 1 or more");
  }

  double lr(int64_t num_updates) const override {
    if (num_updates < warmup_) {
      return warmup_init_lr_ +
             static_cast<double>(num_updates) * (max_lr_ - warmup_init_lr_) / static_cast<double>(warmup_);
    }
    const double current = static_cast<double>(num_updates - warmup_);
    double period_index = 0;
    double period = period_;
    double position = 0;
    if (t_mult_ != 1) {
      period_index = std::floor(std::log(1 - current / period_ * (1 - t_mult_)) / std::log(t_mult_));
      const double growth = std::pow(t_mult_, period_index);
      period = growth * period_;
      position = current - (1 - growth) / (1 - t_mult_) * period_;
    } else {
      period_index = std::floor(current / period_);
      position = current - period_index * period_;
    }
    const double factor = std::pow(shrink_, period_index);
    const double low = min_lr_ * factor;
    const double high = max_lr_ * factor;
    return low + 0.5 * (high - low) * (1 + std::cos(std::numbers::pi * position / period));
  }

 private:
  double max_lr_;
  double min_lr_;
  double t_mult_;
  double shrink_;
  int64_t warmup_;
  double warmup_init_lr_;
  double period_ = 0;
};

class Fixed : public LrScheduler {
 public:
  explicit Fixed(const LrSchedulerOptions& options) : options_(options) { begin_epoch(1); }

  double lr(int64_t num_updates) const override {
    const int64_t warmup = options_.warmup_updates.value_or(0);
    if (num_updates >= warmup) return epoch_lr_;
    return epoch_lr_ * static_cast<double>(num_updates + 1) / static_cast<double>(warmup);
  }

  void begin_epoch(int64_t epoch) override {
    if (!options_.force_anneal || epoch < *options_.force_anneal) {
      const auto last = static_cast<int64_t>(options_.lr.size()) - 1;
      epoch_lr_ = options_.lr[static_cast<size_t>(std::clamp<int64_t>(epoch - 1, 0, last))];
    } else {
      const auto shrinks = static_cast<double>(epoch + 1 - *options_.force_anneal);
      epoch_lr_ = options_.lr.back() * std::pow(options_.lr_shrink, shrinks);
    }
  }

 private:
  LrSchedulerOptions options_;
  double epoch_lr_ = 0;
};

/// From warmup_init_lr (negative: 0, or lr without warm-up) to lr.
double linear_warmup(const LrSchedulerOptions& options, int64_t warmup, int64_t num_updates) {
  const double start = options.warmup_init_lr < 0 ? 0 : options.warmup_init_lr;
  return start +
         static_cast<double>(num_updates) * (options.lr.front() - start) / static_cast<double>(warmup);
}

class InverseSqrt : public LrScheduler {
 public:
  explicit InverseSqrt(const LrSchedulerOptions& options)
      : options_(options), warmup_(options.warmup_updates.value_or(4000)) {
    QN_REQUIRE(warmup_ > 0, ErrorKind::kConfig,
               "--lr-scheduler inverse_sqrt needs --warmup-updates of 1 or more");
  }

  double lr(int64_t num_updates) const override {
    if (num_updates < warmup_) return linear_warmup(options_, warmup_, num_updates);
    return options_.lr.front() * std::sqrt(static_cast<double>(warmup_)) /
           std::sqrt(static_cast<double>(num_updates));
  }

 private:
  LrSchedulerOptions options_;
  int64_t warmup_;
};

class PolynomialDecay : public LrScheduler {
 public:
  explicit PolynomialDecay(const LrSchedulerOptions& options)
      : options_(options),
        warmup_(options.warmup_updates.value_or(0)),
        total_(options.total_num_update.value_or(options.max_update)) {
    QN_REQUIRE(total_ > 0, ErrorKind::kConfig,
               "--lr-scheduler polynomial_decay needs --total-num-update or --max-update");
    QN_REQUIRE(!options.force_anneal, ErrorKind::kUnsupported,
               "--lr-scheduler polynomial_decay with --force-anneal: the rate decays by updates alone");
    QN_REQUIRE(total_ >= warmup_, ErrorKind::kConfig, "--lr-scheduler polynomial_decay: --warmup-updates (",
               warmup_, ") exceeds the total number of updates (", total_, ")");
  }

  double lr(int64_t num_updates) const override {
    const double peak = options_.lr.front();
    if (warmup_ > 0 && num_updates <= warmup_)
      return peak * static_cast<double>(num_updates) / static_cast<double>(warmup_);
    if (num_updates >= total_) return options_.end_learning_rate;
    const double left =
        1 - static_cast<double>(num_updates - warmup_) / static_cast<double>(total_ - warmup_);
    return (peak - options_.end_learning_rate) * std::pow(left, options_.power) + options_.end_learning_rate;
  }

 private:
  LrSchedulerOptions options_;
  int64_t warmup_;
  int64_t total_;
};

class Triangular : public LrScheduler {
 public:
  explicit Triangular(const LrSchedulerOptions& options)
      : options_(options), half_period_(std::floor(options.lr_period_updates.value_or(5000) / 2)) {
    QN_REQUIRE(options.max_lr && *options.max_lr > options.lr.front(), ErrorKind::kConfig,
               "--lr-scheduler triangular needs --max-lr above --lr (", options.lr.front(), ")");
    QN_REQUIRE(half_period_ >= 1, ErrorKind::kConfig, "--lr-period-updates must be 2 or more");
  }

  double lr(int64_t num_updates) const override {
    const auto n = static_cast<double>(num_updates);
    const double cycle = std::floor(n / (2 * half_period_));
    const double factor = std::pow(options_.lr_shrink, cycle);
    const double high = *options_.max_lr * factor;
    const double low = options_.lr.front() * (options_.shrink_min ? factor : 1);
    const double distance = std::abs(n / half_period_ - 2 * (cycle + 1) + 1);
    return low + (high - low) * std::max(0.0, 1 - distance);
  }

 private:
  LrSchedulerOptions options_;
  double half_period_;
};

class ReduceOnPlateau : public LrScheduler {
 public:
  explicit ReduceOnPlateau(const LrSchedulerOptions& options)
      : options_(options), warmup_(options.warmup_updates.value_or(0)), lr_(options.lr.front()) {}

  double lr(int64_t num_updates) const override {
    return num_updates < warmup_ ? linear_warmup(options_, warmup_, num_updates) : lr_;
  }

  void end_epoch(int64_t epoch, std::optional<double> metric, int64_t num_updates) override {
    if (!metric || num_updates <= warmup_) return;
    if (!best_ || is_better(*metric)) {
      best_ = metric;
      bad_epochs_ = 0;
    } else if (++bad_epochs_ > options_.lr_patience) {
      // torch leaves the rate alone when the change would be below 1e-8.
      const double next = lr_ * options_.lr_shrink;
      if (lr_ - next > 1e-8) lr_ = next;
      bad_epochs_ = 0;
    }
  }

  std::map<std::string, double> state() const override {
    std::map<std::string, double> state = {{"lr", lr_}, {"bad_epochs", static_cast<double>(bad_epochs_)}};
    if (best_) state["best"] = *best_;
    return state;
  }

  void load_state(const std::map<std::string, double>& state) override {
    const auto get = [&](const char* key, double fallback) {
      const auto found = state.find(key);
      return found == state.end() ? fallback : found->second;
    };
    lr_ = get("lr", lr_);
    bad_epochs_ = static_cast<int64_t>(get("bad_epochs", 0));
    best_ = state.contains("best") ? std::optional<double>(state.at("best")) : std::nullopt;
  }

 private:
  bool is_better(double metric) const {
    return options_.maximize_metric ? metric > *best_ * (1 + options_.lr_threshold)
                                    : metric < *best_ * (1 - options_.lr_threshold);
  }

  LrSchedulerOptions options_;
  int64_t warmup_;
  double lr_;
  std::optional<double> best_;
  int64_t bad_epochs_ = 0;
};

}  // namespace

std::unique_ptr<LrScheduler> make_cosine(const LrSchedulerOptions& options) {
  return std::make_unique<Cosine>(options);
}
std::unique_ptr<LrScheduler> make_fixed(const LrSchedulerOptions& options) {
  return std::make_unique<Fixed>(options);
}
std::unique_ptr<LrScheduler> make_inverse_sqrt(const LrSchedulerOptions& options) {
  return std::make_unique<InverseSqrt>(options);
}
std::unique_ptr<LrScheduler> make_polynomial_decay(const LrSchedulerOptions& options) {
  return std::make_unique<PolynomialDecay>(options);
}
std::unique_ptr<LrScheduler> make_triangular(const LrSchedulerOptions& options) {
  return std::make_unique<Triangular>(options);
}
std::unique_ptr<LrScheduler> make_reduce_lr_on_plateau(const LrSchedulerOptions& options) {
  return std::make_unique<ReduceOnPlateau>(options);
}

}  // namespace quantnoise::train
