#include "learn/train/session.h"

#include <algorithm>
#include <cmath>

#include "quantnoise/base/error.h"
#include "quantnoise/train/run.h"

namespace quantnoise::train {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

bool is_multiple(int64_t number, int64_t interval) { return interval > 0 && number % interval == 0; }

/// "1h02m", "3m20s", "45s".
std::string duration_text(double seconds) {
  const auto total = static_cast<int64_t>(std::llround(seconds));
  const auto two = [](int64_t value) { return str_cat(value < 10 ? "0" : "", value); };
  if (total >= 3600) return str_cat(total / 3600, "h", two(total / 60 % 60), "m");
  if (total >= 60) return str_cat(total / 60, "m", two(total % 60), "s");
  return str_cat(total, "s");
}

}  // namespace

int64_t Session::epochs_done() const { return iterator_->epoch() - 1; }

double Session::seconds_in_all() const { return earlier_seconds_ + seconds_since(started_); }

bool Session::epoch_allowed() const {
  const int64_t max_epoch = values_.get_int("max-epoch");
  const int64_t max_update = values_.get_int("max-update");
  if (max_epoch > 0 && iterator_->epoch() > max_epoch) return false;
  if (max_update > 0 && trainer_->num_updates() >= max_update) return false;
  return !patience_is_over();
}

int Session::run() {
  started_ = Clock::now();
  first_update_ = trainer_->num_updates();
  while (epoch_allowed()) {
    // Only now: the checkpoint of the epoch before does not wait for another folder.
    if (shard_of(iterator_->epoch()) != shard_) open_epoch(iterator_->epoch());
    trainer_->scheduler().begin_epoch(iterator_->epoch());
    const double lr = trainer_->lr();
    if (lr <= values_.get_float("stop-min-lr")) {
      progress_.message(str_cat("stopping: the learning rate ", lr, " is not above --stop-min-lr ",
                                values_.get_float("stop-min-lr")));
      break;
    }
    if (train_epoch()) break;
  }
  if (stopped_) return stop_early();
  finish();
  return 0;
}

bool Session::train_epoch() {
  const std::vector<int64_t>& update_freq = values_.get_int_list("update-freq");
  QN_REQUIRE(!update_freq.empty(), ErrorKind::kConfig, "--update-freq needs at least one number");
  const auto last = static_cast<int64_t>(update_freq.size()) - 1;
  const int64_t max_batches = update_freq[static_cast<size_t>(std::min(epochs_done(), last))];
  const int64_t epoch = iterator_->epoch();
  while (iterator_->epoch() == epoch) {
    begin_due_stage();
    train_update(max_batches);
    if (after_update()) return true;
  }
  return false;
}

void Session::train_update(int64_t max_batches) {
  const Clock::time_point begin = Clock::now();
  std::vector<data::Batch> batches;
  while (static_cast<int64_t>(batches.size()) < max_batches) {
    std::optional<data::Batch> batch = iterator_->next();
    if (!batch) break;
    batches.push_back(std::move(*batch));
  }
  noise_.begin_update(trainer_->num_updates());
  activations_.begin_update(trainer_->num_updates());
  const UpdateStats stats = trainer_->update(batches);
  const double seconds = seconds_since(begin);
  interval_meter_.add(stats, seconds);
  epoch_meter_.add(stats, seconds);
  progress_state_.train_seconds += seconds;
  if (is_multiple(trainer_->num_updates(), values_.get_int("log-interval"))) log_interval();
}

void Session::log_interval() {
  Event event{"train_inner", {{"epoch", iterator_->epoch()}, {"update", trainer_->num_updates()}}};
  interval_meter_.describe(event);
  event.add("lr", trainer_->optimizer().lr()).add("wall", seconds_since(started_));
  const int64_t max_update = values_.get_int("max-update");
  const int64_t max_epoch = values_.get_int("max-epoch");
  // Whatever limit comes first; validations so far are part of the pace.
  double left = INFINITY;
  const double pace = seconds_since(started_) /
                      static_cast<double>(std::max<int64_t>(trainer_->num_updates() - first_update_, 1));
  if (max_update > 0) left = pace * static_cast<double>(max_update - trainer_->num_updates());
  if (max_epoch > 0) {
    const auto batches_an_update =
        static_cast<double>(std::max<int64_t>(values_.get_int_list("update-freq").back(), 1));
    const int64_t batches =
        (max_epoch - iterator_->epoch()) * iterator_->num_batches() + iterator_->num_remaining();
    left = std::min(left, pace * static_cast<double>(batches) / batches_an_update);
  }
  if (std::isfinite(left)) event.add("left", duration_text(left));
  progress_.frequent(event);
  interval_meter_.reset();
}

Session::Due Session::what_is_due() const {
  const int64_t updates = trainer_->num_updates();
  const int64_t max_update = values_.get_int("max-update");
  const double max_hours = values_.get_float("stop-time-hours");
  Due due;
  due.end_of_epoch = iterator_->end_of_epoch();
  due.out_of_time = max_hours > 0 && seconds_in_all() > max_hours * 3600;
  due.limit_reached = (max_update > 0 && updates >= max_update) || due.out_of_time;
  due.end_of_stage = stages_ && stages_->ends(updates, epochs_done() + (due.end_of_epoch ? 1 : 0));
  const bool may_validate = !valid_sets_.empty() && updates >= values_.get_int("validate-after-updates");
  const bool save_by_updates = is_multiple(updates, values_.get_int("save-interval-updates")) &&
                               updates >= values_.get_int("validate-after-updates");
  due.save = due.limit_reached || due.end_of_stage || save_by_updates ||
             (due.end_of_epoch && is_multiple(iterator_->epoch(), values_.get_int("save-interval")));
  due.validate =
      may_validate &&
      (due.limit_reached || due.end_of_stage || (save_by_updates && !due.end_of_epoch) ||
       (due.end_of_epoch && is_multiple(iterator_->epoch(), values_.get_int("validate-interval"))) ||
       is_multiple(updates, values_.get_int("validate-interval-updates")));
  return due;
}

bool Session::after_update() {
  Due due = what_is_due();
  std::optional<Validation> validation;
  if (due.validate) validation = validate();
  const bool out_of_patience = patience_is_over();
  if (out_of_patience) {
    progress_.message(str_cat("stopping: no gain in the last ", progress_state_.validations_without_gain,
                              " validations (--patience)"));
    due.save = true;
  }
  if (due.out_of_time) progress_.message("stopping: the time of --stop-time-hours is over");
  const int64_t epoch = iterator_->epoch();
  if (due.end_of_stage) end_stage(validation);
  if (due.end_of_epoch) end_epoch(validation);
  stopped_ = stop_requested_ && stop_requested_();
  if (due.save || stopped_ || validation) save(due, epoch, validation);
  const bool finished = due.limit_reached || out_of_patience;
  if (finished) stopped_ = false;
  return finished || stopped_;
}

void Session::begin_due_stage() {
  if (!stages_ || !stages_->begins(trainer_->num_updates(), epochs_done())) return;
  const std::vector<quant::QuantizedLayer> layers = stages_->begin(*model_, trainer_->num_updates());
  activations_.begin_stage(trainer_->num_updates());
  trainer_->optimizer().bind(quant::unique_parameters(*model_));
  // Losses before and after cannot be compared.
  progress_state_.best_metric.reset();
  progress_state_.best_loss.reset();
  for (const quant::QuantizedLayer& layer : layers) {
    progress_.frequent(Event{"quantized",
                             {{"layer", layer.name},
                              {"block_size", int64_t{layer.block_size}},
                              {"centroids", int64_t{layer.report.num_centroids}},
                              {"relative_error", layer.relative_error}}});
  }
  Event event{"stage_raw",
              {{"stage", stages_->current_record().stage}, {"layers", static_cast<int64_t>(layers.size())}}};
  if (!valid_sets_.empty()) {
    const double loss = validate_first();
    stages_->current_record().raw_loss = loss;
    event.add("valid_loss", loss).add("valid_ppl", std::exp2(loss));
  }
  describe_size(event, track_size(*model_));
  progress_.result(event);
}

void Session::end_stage(const std::optional<Validation>& validation) {
  stages_->end(trainer_->num_updates(), validation ? std::optional<double>(validation->loss) : std::nullopt);
  const StageRecord& record = stages_->current_record();
  Event event{"stage", {{"stage", record.stage}, {"layers", static_cast<int64_t>(record.layers.size())}}};
  event.add("updates", record.end_update - record.begin_update);
  if (record.raw_loss) event.add("raw_loss", *record.raw_loss).add("raw_ppl", std::exp2(*record.raw_loss));
  if (record.valid_loss)
    event.add("valid_loss", *record.valid_loss).add("valid_ppl", std::exp2(*record.valid_loss));
  describe_size(event, track_size(*model_));
  if (!no_save_) {
    const std::string path = in_save_dir(str_cat("model_stage", record.stage, ".qn"));
    event.add("bytes", static_cast<int64_t>(write_model(path, packed_model()))).add("path", path);
  }
  progress_.result(event);
}

void Session::end_epoch(const std::optional<Validation>& validation) {
  Event event{"train", {{"epoch", iterator_->epoch()}, {"update", trainer_->num_updates()}}};
  epoch_meter_.describe(event);
  event.add("lr", trainer_->optimizer().lr()).add("train_wall", progress_state_.train_seconds);
  progress_.event(event);
  epoch_meter_.reset();
  trainer_->scheduler().end_epoch(iterator_->epoch(),
                                  validation ? std::optional<double>(validation->metric) : std::nullopt,
                                  trainer_->num_updates());
  iterator_->next_epoch();
}

int Session::stop_early() {
  const std::string where =
      no_save_ ? "nothing was saved (--no-save)"
               : str_cat("saved ", in_save_dir(kLastCheckpoint), "; go on with the same command",
                         values_.is_explicit("restore-file")
                             ? str_cat(" and --restore-file ", in_save_dir(kLastCheckpoint))
                             : "");
  progress_.message(str_cat("stopped at update ", trainer_->num_updates(), ": ", where));
  return kStoppedEarly;
}

}  // namespace quantnoise::train
