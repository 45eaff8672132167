// Quantization of a model file without training.

#include <algorithm>
#include <nlohmann/json.hpp>

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
                                               /*allow_exceptions=*/false)) {
    load_originals(*loaded_.model, loaded_.file);
    if (!history_.is_object()) history_ = nlohmann::ordered_json::object();
  }

  void round_centroids();
  /// By the stages of a configuration, one after the other.
  void quantize_by_stages();
  /// What is left, to int-N.
  void quantize_to_grids();
  void write();

 private:
  void run_stages(const config::QuantizationConfig& config, const quant::Plan& plan);

  const config::OptionValues& values_;
  Progress& progress_;
  std::string path_;
  quant::PqOptions options_;
  LoadedModel loaded_;
  nlohmann::ordered_json history_;
};

void QuantizeRun::round_centroids() {
  if (options_.centroid_type != codec::ScalarType::kI8) return;
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
  if (plan.layers.empty() && !values_.get_string("quantization-config-path").empty()) {
    progress_.message(str_cat("nothing is left for ", scheme, ": the stages name every layer"));
    return;
  }
  QN_REQUIRE(!plan.layers.empty(), ErrorKind::kConfig, "nothing to quantize to ", scheme, " in ", path_,
             ": every layer has product codes already, or is excluded");
  const std::vector<quant::ScalarLayer> layers = quant::quantize_scalar(*loaded_.model, plan);
  history_["scalar"] = {{"bits", setup.options.bits},
                        {"method", codec::observer_name(setup.options.observer)},
                        {"layers", plan.names()}};
  progress_.result(Event{"scalar",
                         {{"scheme", scheme},
                          {"method", values_.get_string("scalar-method")},
                          {"layers", static_cast<int64_t>(layers.size())},
                          {"relative_error", quant::mean_relative_error(layers)}}});
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
                     values.get_string("pq-centroid-type") == "int8";
  QN_REQUIRE(
      asked, ErrorKind::kUsage,
      "nothing to do: give --config FILE.yaml, --scheme int8 (int2 to int8) or --pq-centroid-type int8");
  QN_REQUIRE(!values.get_string("output").empty(), ErrorKind::kUsage, "no file to write given: -o FILE");
  set_up_torch(num_threads(values));
  Progress progress(output, log_format(values, output, false));
  QuantizeRun run(values, progress);
  run.round_centroids();
  run.quantize_by_stages();
  run.quantize_to_grids();
  run.write();
  return 0;
}

}  // namespace quantnoise::train
