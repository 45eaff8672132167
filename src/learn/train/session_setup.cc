// A session's beginning: data, model, trainer, what is restored.

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "learn/train/activation_io.h"
#include "learn/train/idle_options.h"
#include "learn/train/session.h"
#include "quantnoise/base/error.h"
#include "quantnoise/base/file.h"
#include "quantnoise/kernels/instruction_set.h"
#include "quantnoise/quant/context.h"
#include "quantnoise/train/evaluate.h"
#include "quantnoise/train/model_io.h"

namespace quantnoise::train {
namespace {

int64_t int_or(const config::OptionValues& values, const char* name, int64_t fallback) {
  return values.has_value(name) ? values.get_int(name) : fallback;
}

bool wants_fp16(const config::OptionValues& values) {
  return values.get_bool("fp16") || values.get_bool("memory-efficient-fp16");
}

bool wants_bf16(const config::OptionValues& values) {
  return values.get_bool("bf16") || values.get_bool("memory-efficient-bf16") || wants_fp16(values);
}

at::ScalarType training_type(const config::OptionValues& values) {
  return wants_bf16(values) || (values.get_bool("amp") && kernels::has_bf16_products()) ? at::kBFloat16
                                                                                        : at::kFloat;
}

void check_options(const config::OptionValues& values) {
  const std::string& device = values.get_string("device");
  QN_REQUIRE(device == "cpu", ErrorKind::kUnsupported, "--device ", device,
             ": training runs on the cpu only");
  QN_REQUIRE(values.has_value("max-tokens") || values.has_value("batch-size"), ErrorKind::kUsage,
             "the size of a batch is not given: --max-tokens or --batch-size");
  const bool staged = !values.get_string("quantization-config-path").empty();
  QN_REQUIRE(
      !staged || values.get_int("patience") <= 0, ErrorKind::kConfig,
      "--patience cannot be combined with --quantization-config-path: every stage has its fixed share");
}

std::vector<std::string> split_names(const std::string& list) {
  std::vector<std::string> names;
  std::istringstream stream(list);
  std::string name;
  while (std::getline(stream, name, ',')) {
    if (!name.empty()) names.push_back(name);
  }
  return names;
}

void refuse_too_long(const data::BatchDataset& dataset, int64_t max_positions, const std::string& name) {
  const auto& sizes = dataset.sizes();
  const auto longest = std::max_element(sizes.begin(), sizes.end());
  if (longest == sizes.end() || *longest <= max_positions) return;
  throw Error(
      ErrorKind::kData,
      str_cat("a sample of '", name, "' has ", *longest, " tokens, the model takes at most ", max_positions),
      "leave such samples out with --skip-invalid-size-inputs-valid-test");
}

bool had_noise(const nlohmann::json& history) {
  if (!history.contains("noise") || !history["noise"].is_object()) return false;
  const nlohmann::json& noise = history["noise"];
  const bool scalar = noise.contains("scalar") && noise["scalar"].is_object();
  return noise.value("probability", 0.0) > 0 || (scalar && noise["scalar"].value("probability", 0.0) > 0);
}

/// The noise records a run hands on: those it was handed and, when a new run starts from its weights, its
/// own.
std::string earlier_noise(const RestoreSource& source) {
  const auto history = nlohmann::json::parse(source.file.history_json, nullptr, /*allow_exceptions=*/false);
  if (!history.is_object()) return "[]";
  nlohmann::json records = history.value("earlier_noise", nlohmann::json::array());
  if (!source.resumes() && had_noise(history)) records.push_back(history["noise"]);
  return records.dump();
}

}  // namespace

Session::Session(const config::OptionValues& values, Progress& progress, std::function<bool()> stop_requested)
    : values_(values),
      progress_(progress),
      stop_requested_(std::move(stop_requested)),
      save_dir_(values.get_string("save-dir")),
      no_save_(values.get_bool("no-save")),
      valid_type_(values.get_string("valid-precision") == "bf16" ? at::kBFloat16 : at::kFloat) {
  check_options(values);
  torch::manual_seed(static_cast<uint64_t>(values.get_int("seed")));
  task_ = make_task(values);
  const std::optional<RestoreSource> source = find_restore_source(values);
  try {
    build_model(source);
    build_trainer();
    build_data();
    if (source) resume(*source);
  } catch (Error& error) {
    throw source && error.kind() == ErrorKind::kFormat ? error.in(source->path) : error;
  }
  if (!no_save_) base::make_directories(save_dir_);
  announce(source);
}

void Session::build_model(const std::optional<RestoreSource>& source) {
  model_ = task_->build_model(source ? &source->file : nullptr);
  // The plan of a run that is gone on with is that of its model before any stage.
  const bool plan_first = !source || source->resumes_quantization();
  if (!plan_first) restore(*source);
  quantize_weights();
  build_stages();
  if (plan_first && source) {
    restore(*source);
    quantize_weights();
  }
  noise_ = NoisePlan(*model_, noise_plan_options(values_));
  quantize_inputs();
}

void Session::restore(const RestoreSource& source) {
  restore_weights(*model_, source.file, pq_options(values_).gradient);
  load_originals(*model_, source.file);
  earlier_noise_ = earlier_noise(source);
}

void Session::quantize_weights() {
  if (pq_options(values_).centroid_type == codec::ScalarType::kI8) {
    quant::set_centroid_type(*model_, codec::ScalarType::kI8);
  }
  scalar_ = scalar_setup(values_);
  if (!scalar_) return;
  scalar_plan_ = quant::plan_scalar(*model_, scalar_->options, scalar_->filter);
  quant::quantize_scalar(*model_, scalar_plan_);
}

void Session::build_stages() {
  const std::string& path = values_.get_string("quantization-config-path");
  QN_REQUIRE(!path.empty() || !values_.is_explicit("quantization-config-path"), ErrorKind::kConfig,
             "--quantization-config-path: found '', expected a file, recipes/ipq.yaml for example");
  if (path.empty()) return;
  const config::QuantizationConfig config = config::load_quantization_config(path);
  const quant::PqOptions options = pq_options(values_);
  quant::Plan plan = quant::plan_pq(*model_, config, options.centroid_type);
  const StageSchedule schedule = StageSchedule::make(
      static_cast<int64_t>(plan.stages.size()), values_.get_int("max-epoch"), values_.get_int("max-update"));
  stages_ = std::make_unique<StageRunner>(config, std::move(plan), schedule, options);
}

void Session::quantize_inputs() {
  const std::optional<ActivationSetup> setup = activation_setup(values_);
  if (!setup) {
    activations_ = ActivationPlan(*model_);
    return;
  }
  std::vector<std::string> weights = quantized_weights(*model_);
  const auto add = [&](const std::vector<std::string>& names) {
    weights.insert(weights.end(), names.begin(), names.end());
  };
  add(noise_.noised());
  add(noise_.scalar_noised());
  if (stages_) {
    for (const auto& stage : stages_->plan().stages) {
      for (const quant::PlanEntry& entry : stage) weights.push_back(entry.name);
    }
  }
  activations_ = ActivationPlan(*model_, *setup, weights);
}

void Session::build_trainer() {
  TrainerOptions options;
  options.seed = static_cast<uint64_t>(values_.get_int("seed"));
  options.clip_norm = values_.get_float("clip-norm");
  options.compute_type = training_type(values_);
  auto optimizer = make_optimizer(values_.get_string("optimizer"), optimizer_options(values_));
  optimizer->bind(quant::unique_parameters(*model_));
  auto criterion = make_criterion(values_.get_string("criterion"), criterion_options(values_));
  criterion->require_fits(*model_);
  trainer_ = std::make_unique<Trainer>(
      model_, std::move(criterion), std::move(optimizer),
      make_lr_scheduler(values_.get_string("lr-scheduler"), lr_scheduler_options(values_)), options);
}

int64_t Session::shard_of(int64_t epoch) const { return (epoch - 1) % task_->num_data_shards(); }

void Session::open_epoch(int64_t epoch) {
  const int64_t max_positions = model_->max_positions();
  data::IteratorOptions options;
  options.limits.max_tokens = int_or(values_, "max-tokens", 0);
  options.limits.max_sentences = int_or(values_, "batch-size", 0);
  options.limits.required_batch_size_multiple = values_.get_int("required-batch-size-multiple");
  options.max_positions = max_positions;
  options.curriculum = values_.get_int("curriculum");
  options.seed = static_cast<uint64_t>(values_.get_int("seed"));
  options.num_workers = static_cast<int>(values_.get_int("num-workers"));
  options.data_buffer_size = values_.get_int("data-buffer-size");
  shard_ = shard_of(epoch);
  iterator_ = std::make_unique<data::EpochIterator>(
      task_->dataset(values_.get_string("train-subset"), /*combine=*/true, max_positions, shard_), options);
  if (epoch > 1) iterator_->seek(epoch, 0);
}

void Session::build_data() {
  open_epoch(1);
  const int64_t max_positions = model_->max_positions();
  if (values_.get_bool("disable-validation")) return;
  for (const std::string& name : split_names(values_.get_string("valid-subset"))) {
    ValidSet set{name, task_->dataset(name, values_.get_bool("combine-val"), max_positions), {}};
    if (!values_.get_bool("skip-invalid-size-inputs-valid-test"))
      refuse_too_long(*set.dataset, max_positions, name);
    set.batches = evaluation_batches(
        *set.dataset, int_or(values_, "max-tokens-valid", int_or(values_, "max-tokens", 0)),
        int_or(values_, "batch-size-valid", int_or(values_, "batch-size", 0)), max_positions,
        values_.has_value("max-tokens-valid") ? "--max-tokens-valid" : "--max-tokens");
    const int64_t most_batches = int_or(values_, "max-valid-steps", set.batches.size());
    if (most_batches < set.batches.size()) set.batches.ends.resize(static_cast<size_t>(most_batches));
    valid_sets_.push_back(std::move(set));
  }
}

void Session::resume(const RestoreSource& source) {
  if (!source.state) return;
  const TrainingState& state = *source.state;
  if (source.take_progress) {
    trainer_->set_num_updates(state.num_updates);
    earlier_seconds_ = state.wall_seconds;
    noise_.begin_update(state.num_updates);
    load_slot_state(*model_, source.file);
    if (activations_.trains()) load_activation_state(*model_, source.file);
    load_optimizer_state(trainer_->optimizer(), source.file, state.num_updates);
    if (source.take_schedule) trainer_->scheduler().load_state(state.scheduler_state);
    if (stages_) {
      stages_->resume(state.stages);
      if (!state.stages.records.empty()) activations_.begin_stage(stages_->current_record().begin_update);
    }
  }
  if (source.take_meters) {
    epoch_meter_.load_state(state.meter);
    progress_state_.train_seconds = state.train_seconds;
  }
  if (source.take_meters && source.take_progress) {
    progress_state_.best_metric = state.best_metric;
    progress_state_.best_loss = state.best_loss;
    progress_state_.patience_metric = state.patience_metric;
    progress_state_.validations_without_gain = state.validations_without_gain;
  }
  if (!source.take_position) return;
  try {
    if (task_->num_data_shards() > 1) open_epoch(state.iterator.epoch);
    iterator_->restore(state.iterator);
  } catch (const Error& error) {
    throw Error(error.kind(), error.what(), "start at the first epoch with --reset-dataloader");
  }
}

void Session::announce_precision() {
  const bool is_bf16 = trainer_->options().compute_type == at::kBFloat16;
  if (wants_fp16(values_))
    progress_.message("--fp16: on a CPU this means bfloat16 matrix products, fp32 weights");
  std::string reason;
  if (!kernels::has_bf16_products()) {
    if (is_bf16) reason = " (this processor has no bfloat16 products of its own: --amp takes fp32 there)";
    if (!is_bf16 && values_.get_bool("amp"))
      reason = " (--amp: this processor has no bfloat16 products of its own)";
  }
  progress_.message(str_cat("training in ", is_bf16 ? "bf16" : "fp32", reason, ", validation in ",
                            valid_type_ == at::kFloat ? "fp32" : "bf16"));
}

void Session::announce_noise() {
  const auto list = [&](const std::string& what, const std::vector<std::string>& noised,
                        const std::vector<std::string>& untouched) {
    if (noised.empty()) return;
    progress_.message(str_cat(what, " on ", noised.size(), " weights: ", join(noised, ", ")));
    if (!untouched.empty()) progress_.message(str_cat("no ", what, " on: ", join(untouched, ", ")));
  };
  list("noise", noise_.noised(), noise_.untouched());
  if (!scalar_) return;
  list(str_cat("int", scalar_->options.bits, " noise"), noise_.scalar_noised(), noise_.scalar_untouched());
}

void Session::announce_activations() {
  if (activations_.inputs().empty()) return;
  const quant::ActivationOptions& options = activations_.setup().options;
  const std::vector<std::string> layers = layers_of(activations_.inputs());
  progress_.message(str_cat("inputs quantized to int", options.bits, ", ",
                            quant::activation_mode_name(options.mode),
                            activations_.trains() ? "" : ", as in the model started from", ", of ",
                            layers.size(), " layers: ", join(layers, ", ")));
}

void Session::announce(const std::optional<RestoreSource>& source) {
  std::vector<std::string> ignored = values_.explicit_without_effect();
  for (std::string& option : idle_options(values_)) ignored.push_back(std::move(option));
  if (!ignored.empty()) progress_.message("options without effect here: --" + join(ignored, ", --"));
  announce_precision();
  if (source) {
    progress_.message(source->resumes() ? str_cat("going on from ", source->path, " at update ",
                                                  trainer_->num_updates(), ", epoch ", iterator_->epoch())
                                        : str_cat("starting from the weights of ", source->path));
  }
  progress_.message(str_cat("model: ", model_->architecture(), ", ", quant::count_parameters(*model_),
                            " parameters; dictionary: ", task_->dictionary().size(), " entries; ",
                            iterator_->num_batches(), " batches an epoch"));
  announce_noise();
  announce_activations();
  if (scalar_) progress_.message(scalar_plan_.text(), "plan");
  if (stages_) progress_.message(stages_->plan().text(), "plan");
}

}  // namespace quantnoise::train
