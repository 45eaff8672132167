// Quantization of a model file without training.

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "learn/train/activation_plan.h"
#include "learn/train/calibrate.h"
#include "learn/train/checkpoint.h"
#include "learn/train/run_options.h"
#include "learn/train/scalar_setup.h"
#include "learn/train/stages.h"
#include "quantnoise/base/error.h"
#include "quantnoise/train/model_io.h"
#include "quantnoise/train/run.h"
#include "quantnoise/train/trainer.h"

namespace quantnoise::train {
namespace {

bool quantizes_inputs(const config::OptionValues& values) {
  return !values.get_string("calibrate").empty() || values.has_value("scalar-act-bits");
}

/// Errors: kUsage for an option that would change nothing because another one is missing.
void check_companions(const config::OptionValues& values) {
  const bool has_stages = !values.get_string("quantization-config-path").empty();
  const auto needs = [&](bool is_given, const char* what, std::initializer_list<const char*> options) {
    for (const char* option : options) {
      QN_REQUIRE(is_given || !values.is_explicit(option), ErrorKind::kUsage, "--", option,
                 " changes nothing without ", what);
    }
  };
  needs(values.has_value("scheme"), "--scheme", {"scalar-method", "scalar-include", "scalar-exclude"});
  needs(quantizes_inputs(values), "--scalar-act-bits or --calibrate",
        {"scalar-act-mode", "scalar-act-method", "scalar-act-exclude"});
  needs(!values.get_string("calibrate").empty(), "--calibrate", {"calibrate-subset", "calibrate-tokens"});
  needs(has_stages, "--config", {"pq-iterations", "seed"});
}

/// Errors: kIo for a folder that is not there; found out before the work, not behind it.
void check_folders(const config::OptionValues& values) {
  const std::filesystem::path folder = std::filesystem::path(values.get_string("output")).parent_path();
  QN_REQUIRE(folder.empty() || std::filesystem::is_directory(folder), ErrorKind::kIo, "--output ",
             values.get_string("output"), ": there is no folder ", folder.string());
  const std::string& data = values.get_string("calibrate");
  QN_REQUIRE(data.empty() || std::filesystem::is_directory(data), ErrorKind::kIo, "--calibrate ", data,
             ": there is no such folder");
}

/// How inputs are to be quantized; nothing: as they are. Errors: kUsage and kConfig for options that
/// contradict each other.
std::optional<quant::ActivationOptions> input_options(const config::OptionValues& values) {
  if (!quantizes_inputs(values)) return std::nullopt;
  const bool has_data = !values.get_string("calibrate").empty();
  const int bits =
      values.has_value("scalar-act-bits") ? parse_activation_bits(values.get_string("scalar-act-bits")) : 8;
  quant::ActivationOptions options;
  if (bits == 0) {
    QN_REQUIRE(!has_data, ErrorKind::kConfig, "--calibrate contradicts --scalar-act-bits none");
    return options;
  }
  options.bits = bits;
  options.observer = codec::parse_observer(values.get_string("scalar-act-method"));
  options.mode = has_data ? quant::ActivationMode::kStatic : quant::ActivationMode::kDynamic;
  if (!values.has_value("scalar-act-mode")) return options;
  const quant::ActivationMode asked = quant::parse_activation_mode(values.get_string("scalar-act-mode"));
  QN_REQUIRE(asked == options.mode, ErrorKind::kUsage, "--scalar-act-mode ",
             quant::activation_mode_name(asked),
             has_data ? ": dynamic ranges need no --calibrate"
                      : ": static ranges are found on data: --calibrate FOLDER");
  return options;
}

CalibrationData calibration_data(const config::OptionValues& values, const LoadedModel& loaded) {
  CalibrationData data;
  data.folder = values.get_string("calibrate");
  data.split = values.get_string("calibrate-subset");
  data.max_tokens = values.get_int("calibrate-tokens");
  data.tokenizer = loaded.tokenizer;
  const std::map<std::string, std::string> task = stored_task_options(loaded.file);
  data.tokens_per_sample = loaded.model->max_positions();
  if (const auto found = task.find("sample-break-mode"); found != task.end()) {
    data.sample_break_mode = text::parse_break_mode(found->second);
  }
  if (const auto found = task.find("tokens-per-sample"); found != task.end()) {
    data.tokens_per_sample =
        std::clamp<int64_t>(std::atoll(found->second.c_str()), 1, data.tokens_per_sample);
  }
  return data;
}

bool has_product_codes(const quant::NamedSlot& named) {
  return named.slot->representation().scheme().starts_with("pq");
}

/// One run: every step takes the model a little further and notes it in the history.
class QuantizeRun {
 public:
  QuantizeRun(const config::OptionValues& values, Progress& progress)
      : values_(values),
        progress_(progress),
        path_(values.get_string("model")),
        options_(pq_options(values)),
        loaded_(load_model(path_, options_.gradient)),
        history_(nlohmann::ordered_json::parse(loaded_.file.history_json, nullptr,
                                               /*allow_exceptions=*/false)),
        inputs_(input_options(values)) {
    try {
      load_originals(*loaded_.model, loaded_.file);
    } catch (Error& error) {
      throw error.in(path_);
    }
    if (!history_.is_object()) history_ = nlohmann::ordered_json::object();
    check_patterns();
  }

  void round_centroids();
  /// By the stages of a configuration, one after the other.
  void quantize_by_stages();
  /// What is left, to int-N.
  void quantize_to_grids();
  /// The inputs of products with quantized weights.
  void quantize_inputs();
  void write();

 private:
  /// Errors: kConfig for patterns that are broken or match nothing.
  void check_patterns() const;
  bool holds_originals() const { return loaded_.file.kind == "checkpoint"; }
  void run_stages(const config::QuantizationConfig& config, const quant::Plan& plan);

  const config::OptionValues& values_;
  Progress& progress_;
  std::string path_;
  quant::PqOptions options_;
  LoadedModel loaded_;
  nlohmann::ordered_json history_;
  std::optional<quant::ActivationOptions> inputs_;
};

void QuantizeRun::check_patterns() const {
  const std::vector<quant::NamedSlot> slots = quant::named_slots(*loaded_.model);
  if (values_.has_value("scheme")) {
    scalar_setup_without_noise(values_, parse_scalar_scheme(values_.get_string("scheme")))
        .filter.require_matches(slots);
  }
  if (inputs_) check_excluded_inputs(*loaded_.model, values_.get_string("scalar-act-exclude"));
}

void QuantizeRun::round_centroids() {
  if (options_.centroid_type != codec::ScalarType::kI8) return;
  const std::vector<quant::NamedSlot> slots = quant::named_slots(*loaded_.model);
  const bool has_centroids = std::any_of(slots.begin(), slots.end(), has_product_codes);
  QN_REQUIRE(has_centroids || !values_.get_string("quantization-config-path").empty(), ErrorKind::kConfig,
             "--pq-centroid-type int8: no weight in ", path_, " has product codes");
  const int changed = quant::set_centroid_type(*loaded_.model, codec::ScalarType::kI8);
  if (changed > 0) progress_.message(str_cat("centroids of ", changed, " weights to int8"));
}

void QuantizeRun::quantize_by_stages() {
  const std::string& config_path = values_.get_string("quantization-config-path");
  if (config_path.empty()) return;
  const config::QuantizationConfig config = config::load_quantization_config(config_path);
  const quant::Plan plan = quant::plan_pq(*loaded_.model, config, options_.centroid_type);
  progress_.message(plan.text(), "plan");
  const bool any =
      std::any_of(plan.stages.begin(), plan.stages.end(), [](const auto& stage) { return !stage.empty(); });
  QN_REQUIRE(any, ErrorKind::kConfig, "nothing to quantize in ", path_, ": every layer that ", config_path,
             " names is quantized already");
  run_stages(config, plan);
}

void QuantizeRun::run_stages(const config::QuantizationConfig& config, const quant::Plan& plan) {
  // The schedule does not matter: the stages follow one another at once.
  const auto num_stages = static_cast<int64_t>(plan.stages.size());
  StageRunner stages(config, plan, StageSchedule::make(num_stages, 0, num_stages), options_);
  for (int64_t stage = 0; stage < num_stages; ++stage) {
    const std::vector<quant::QuantizedLayer> layers = stages.begin(*loaded_.model, 0);
    stages.end(0, std::nullopt);
    double error = 0;
    double numel = 0;
    for (const quant::QuantizedLayer& layer : layers) {
      error += layer.relative_error * static_cast<double>(layer.numel);
      numel += static_cast<double>(layer.numel);
    }
    Event event{"stage", {{"stage", stage + 1}, {"layers", static_cast<int64_t>(layers.size())}}};
    if (numel > 0) event.add("relative_error", error / numel);
    describe_size(event, track_size(*loaded_.model));
    progress_.result(event);
  }
  history_ = nlohmann::ordered_json::parse(with_stages(history_.dump(), stages.state()));
}

void QuantizeRun::quantize_to_grids() {
  if (!values_.has_value("scheme")) return;
  const std::string& scheme = values_.get_string("scheme");
  const ScalarSetup setup = scalar_setup_without_noise(values_, parse_scalar_scheme(scheme));
  const quant::ScalarPlan plan = quant::plan_scalar(*loaded_.model, setup.options, setup.filter);
  progress_.message(plan.text(), "plan");
  const std::vector<quant::NamedSlot> slots = quant::named_slots(*loaded_.model);
  const bool stages_name_all = std::all_of(slots.begin(), slots.end(), has_product_codes);
  if (stages_name_all && !values_.get_string("quantization-config-path").empty()) {
    progress_.message(str_cat("nothing is left for ", scheme, ": the stages name every layer"));
    return;
  }
  QN_REQUIRE(!plan.layers.empty(), ErrorKind::kConfig, "nothing to quantize to ", scheme, " in ", path_,
             ": every layer has product codes already, or is excluded");
  // A grid of a checkpoint was found for the weights of some updates ago, maybe by another method.
  const std::vector<quant::ScalarLayer> layers = quant::quantize_scalar(
      *loaded_.model, plan, holds_originals() ? quant::FittingGrids::kAnew : quant::FittingGrids::kStay);
  const auto num_kept = std::count_if(layers.begin(), layers.end(), [&](const quant::ScalarLayer& layer) {
    return layer.kept_grid && !holds_originals();
  });
  if (num_kept > 0) {
    progress_.message(str_cat(num_kept, " weights are ", scheme, " already and keep their grids: ", path_,
                              " holds no fp32 originals to find others for"));
  }
  if (num_kept < static_cast<int64_t>(layers.size())) {
    history_["scalar"] = {{"bits", setup.options.bits},
                          {"method", codec::observer_name(setup.options.observer)},
                          {"layers", plan.names()}};
  }
  progress_.result(Event{"scalar",
                         {{"scheme", scheme},
                          {"method", values_.get_string("scalar-method")},
                          {"layers", static_cast<int64_t>(layers.size())},
                          {"relative_error", quant::mean_relative_error(layers)}}});
}

void QuantizeRun::quantize_inputs() {
  if (!inputs_) return;
  quant::quantize_activations(*loaded_.model, {});
  history_.erase("activations");
  if (inputs_->mode == quant::ActivationMode::kNone) return;
  const std::string& exclude = values_.get_string("scalar-act-exclude");
  const std::vector<quant::NamedActivation> inputs =
      inputs_of(*loaded_.model, quantized_weights(*loaded_.model), exclude);
  QN_REQUIRE(!inputs.empty(), ErrorKind::kConfig, "there is no input to quantize in ", path_,
             ": no product's weight is quantized", exclude.empty() ? "" : " and not left out");
  for (const quant::NamedActivation& input : inputs) input.quantizer->set_options(*inputs_);
  Event event{"activations",
              {{"bits", int64_t{inputs_->bits}},
               {"mode", quant::activation_mode_name(inputs_->mode)},
               {"layers", static_cast<int64_t>(layers_of(inputs).size())}}};
  if (inputs_->mode == quant::ActivationMode::kStatic) {
    const CalibrationData data = calibration_data(values_, loaded_);
    event.add("tokens", calibrate_activations(*loaded_.model, loaded_.dictionary, data));
    history_["activations"] = {{"method", codec::observer_name(inputs_->observer)}, {"split", data.split}};
  }
  progress_.result(event);
}

void QuantizeRun::write() {
  const std::string& target = values_.get_string("output");
  pack::ModelFile file = pack_model(*loaded_.model, loaded_.dictionary, loaded_.tokenizer);
  file.history_json = history_.dump();
  const pack::SizeReport before = pack::size_report(path_);
  const uint64_t bytes = pack::write_model_file(target, file).file_bytes;
  progress_.result(Event{"done",
                         {{"bytes_before", static_cast<int64_t>(before.file_bytes - before.training_bytes)},
                          {"bytes", static_cast<int64_t>(bytes)},
                          {"path", target}}});
}

}  // namespace

int run_quantize(const config::OptionValues& values, const Output& output) {
  QN_REQUIRE(!values.get_string("model").empty(), ErrorKind::kUsage, "no model file given");
  const bool asked = !values.get_string("quantization-config-path").empty() || values.has_value("scheme") ||
                     values.get_string("pq-centroid-type") == "int8" ||
                     !values.get_string("calibrate").empty() || values.has_value("scalar-act-bits");
  QN_REQUIRE(asked, ErrorKind::kUsage,
             "nothing to do: give --config FILE.yaml, --scheme int8 (int2 to int8), --pq-centroid-type int8, "
             "--calibrate FOLDER or --scalar-act-bits");
  QN_REQUIRE(!values.get_string("output").empty(), ErrorKind::kUsage, "no file to write given: -o FILE");
  check_companions(values);
  check_folders(values);
  set_up_torch(num_threads(values));
  Progress progress(output, log_format(values, output, false));
  QuantizeRun run(values, progress);
  run.round_centroids();
  run.quantize_by_stages();
  run.quantize_to_grids();
  run.quantize_inputs();
  run.write();
  return 0;
}

}  // namespace quantnoise::train
