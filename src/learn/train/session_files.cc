// A session's validation, checkpoints and model files.

#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "learn/train/session.h"
#include "quantnoise/base/error.h"
#include "quantnoise/base/file.h"
#include "quantnoise/train/evaluate.h"
#include "quantnoise/train/model_io.h"

namespace quantnoise::train {
namespace {

/// Meters are rounded before they are compared, as fairseq's are.
double round_to(double value, int digits) {
  const double scale = std::pow(10.0, digits);
  return std::round(value * scale) / scale;
}

double metric_of(const std::string& name, double loss) {
  return name == "ppl" ? round_to(std::exp2(loss), 2) : round_to(loss, 3);
}

}  // namespace

double Session::evaluate(const ValidSet& set) {
  EvaluateOptions options;
  options.compute_type = valid_type_;
  const NllSum sum = evaluate_nll(*model_, *set.dataset, set.batches, options);
  QN_REQUIRE(sum.num_tokens > 0, ErrorKind::kData, "the split '", set.name, "' has nothing to validate on");
  return sum.loss();
}

double Session::validate_first() { return evaluate(valid_sets_.front()); }

Session::Validation Session::validate() {
  Validation validation;
  bool is_first = true;
  for (const ValidSet& set : valid_sets_) {
    const double loss = evaluate(set);
    Event event{"valid",
                {{"epoch", iterator_->epoch()}, {"update", trainer_->num_updates()}, {"subset", set.name}}};
    event.add("loss", loss).add("ppl", std::exp2(loss));
    if (is_first) {
      validation.loss = loss;
      validation.metric = metric_of(values_.get_string("best-checkpoint-metric"), loss);
      const bool maximize = values_.get_bool("maximize-best-checkpoint-metric");
      const auto at_least = [&](double a, double b) { return maximize ? a >= b : a <= b; };
      TrainingState& state = progress_state_;
      validation.is_best = !state.best_metric || at_least(validation.metric, *state.best_metric);
      if (validation.is_best) {
        state.best_metric = validation.metric;
        state.best_loss = loss;
      }
      const bool gained = !state.patience_metric || !at_least(*state.patience_metric, validation.metric);
      if (gained) state.patience_metric = validation.metric;
      state.validations_without_gain = gained ? 0 : state.validations_without_gain + 1;
      event.add("best_loss", *state.best_loss);
    }
    is_first = false;
    progress_.event(event);
  }
  return validation;
}

bool Session::patience_is_over() const {
  const int64_t patience = values_.get_int("patience");
  return patience > 0 && !valid_sets_.empty() && progress_state_.validations_without_gain >= patience;
}

Retention Session::retention() const {
  Retention retention = retention_options(values_);
  if (valid_sets_.empty()) retention.best = 0;
  return retention;
}

std::string Session::in_save_dir(const std::string& name) const { return save_dir_ + "/" + name; }

pack::ModelFile Session::packed_model() const {
  pack::ModelFile file = pack_model(*model_, task_->dictionary(), task_->tokenizer_name());
  file.history_json = with_stages(history_json(), stages_ ? stages_->state() : StageState());
  return file;
}

std::string Session::history_json() const {
  nlohmann::ordered_json history;
  history["task"] = nlohmann::ordered_json::parse(task_->describe(model_->max_positions()));
  history["updates"] = trainer_->num_updates();
  history["noise"] = {{"kind", values_.get_string("quant-noise-kind")},
                      {"probability", values_.get_float("quant-noise-pq")},
                      {"block_size", values_.get_int("quant-noise-pq-block-size")},
                      {"start_update", values_.get_int("quant-noise-start-update")},
                      {"noised", noise_.noised()},
                      {"untouched", noise_.untouched()}};
  if (scalar_) {
    history["noise"]["scalar"] = {{"bits", scalar_->options.bits},
                                  {"method", codec::observer_name(scalar_->options.observer)},
                                  {"probability", scalar_->probability},
                                  {"update_step", scalar_->options.update_step},
                                  {"ste", values_.get_string("scalar-ste")},
                                  {"noised", noise_.scalar_noised()},
                                  {"untouched", noise_.scalar_untouched()}};
  }
  auto earlier = nlohmann::ordered_json::parse(earlier_noise_);
  if (!earlier.empty()) history["earlier_noise"] = std::move(earlier);
  if (activations_.trains() && !activations_.inputs().empty()) {
    const ActivationSetup& setup = activations_.setup();
    history["noise"]["activations"] = {{"bits", setup.options.bits},
                                       {"mode", quant::activation_mode_name(setup.options.mode)},
                                       {"method", codec::observer_name(setup.options.observer)},
                                       {"probability", setup.options.probability},
                                       {"ste", values_.get_string("scalar-ste")}};
  }
  return history.dump();
}

TrainingState Session::state() const {
  TrainingState state = progress_state_;
  state.wall_seconds = seconds_in_all();
  state.num_updates = trainer_->num_updates();
  state.iterator = iterator_->state();
  state.optimizer = values_.get_string("optimizer");
  state.lr_scheduler = values_.get_string("lr-scheduler");
  state.scheduler_state = trainer_->scheduler().state();
  state.meter = epoch_meter_.state();
  if (stages_) state.stages = stages_->state();
  state.options = values_.to_json();
  return state;
}

std::vector<std::string> Session::checkpoint_names(const Due& due, int64_t epoch,
                                                   const std::optional<Validation>& validation) const {
  const int64_t interval = values_.get_int("save-interval-updates");
  std::vector<std::string> names;
  if (due.end_of_epoch && !values_.get_bool("no-epoch-checkpoints") &&
      epoch % values_.get_int("save-interval") == 0) {
    names.push_back(epoch_checkpoint(epoch));
  }
  if (!due.end_of_epoch && interval > 0 && trainer_->num_updates() % interval == 0) {
    names.push_back(update_checkpoint(epoch, trainer_->num_updates()));
  }
  if (validation && validation->is_best) names.emplace_back(kBestCheckpoint);
  const Retention kept = retention();
  if (validation && is_among_best(save_dir_, kept, validation->metric))
    names.push_back(ranked_checkpoint(kept.metric, validation->metric, trainer_->num_updates()));
  // A stop request leaves a checkpoint in any case: nobody wants the work to be lost.
  if ((due.save && !values_.get_bool("no-last-checkpoints")) || stopped_) names.emplace_back(kLastCheckpoint);
  return names;
}

void Session::save(const Due& due, int64_t epoch, const std::optional<Validation>& validation) {
  if (no_save_) return;
  const std::vector<std::string> names = checkpoint_names(due, epoch, validation);
  if (names.empty()) return;
  pack::ModelFile file = packed_model();
  add_training_state(file, *model_,
                     values_.get_bool("no-save-optimizer-state") ? nullptr : &trainer_->optimizer(), state());
  uint64_t bytes = 0;
  for (const std::string& name : names) bytes = pack::write_model_file(in_save_dir(name), file).file_bytes;
  prune_checkpoints(save_dir_, retention());
  progress_.event(Event{"checkpoint",
                        {{"epoch", epoch},
                         {"update", trainer_->num_updates()},
                         {"files", join(names, " ")},
                         {"bytes", static_cast<int64_t>(bytes)}}});
}

uint64_t Session::write_model(const std::string& path, pack::ModelFile file) {
  return pack::write_model_file(path, file).file_bytes;
}

// One of an earlier run in the same folder is not meant.
std::optional<pack::ModelFile> Session::best_checkpoint() const {
  const std::string path = in_save_dir(kBestCheckpoint);
  if (no_save_ || !progress_state_.best_metric || !base::file_exists(path)) return std::nullopt;
  pack::ModelFile file = pack::read_model_file(path);
  const bool is_ours =
      training_state_from_json(file.training_json).best_metric == progress_state_.best_metric;
  return is_ours ? std::optional(std::move(file)) : std::nullopt;
}

void Session::finish() {
  const std::vector<std::string> unreached = activations_.layers_without_range();
  if (!unreached.empty()) {
    progress_.message(
        str_cat("no input ever reached ", join(unreached, ", "), ": without a range it is not quantized"),
        "warning");
  }
  Event event{"done", {{"updates", trainer_->num_updates()}, {"epochs", epochs_done()}}};
  // Stages end with the weights they end with; a plain run gives its best.
  std::optional<pack::ModelFile> best = stages_ ? std::nullopt : best_checkpoint();
  std::optional<double> loss;
  if (best) loss = progress_state_.best_loss;
  if (stages_ && !stages_->state().records.empty()) loss = stages_->current_record().valid_loss;
  if (loss) event.add("valid_loss", *loss).add("valid_ppl", std::exp2(*loss));
  if (!no_save_) {
    pack::ModelFile file = best ? std::move(*best) : packed_model();
    remove_training_state(file);
    const std::string path = in_save_dir(kModelFile);
    event.add("bytes", static_cast<int64_t>(write_model(path, std::move(file)))).add("path", path);
  }
  progress_.result(event);
}

}  // namespace quantnoise::train
