#include "quantnoise/train/run.h"

#include <algorithm>

#include "learn/train/progress.h"
#include "learn/train/session.h"
#include "learn/train/stages.h"
#include "quantnoise/base/error.h"
#include "quantnoise/train/model_io.h"
#include "quantnoise/train/options.h"
#include "quantnoise/train/trainer.h"

namespace quantnoise::train {
namespace {

int num_threads(const config::OptionValues& values) {
  return values.has_value("threads") ? static_cast<int>(values.get_int("threads")) : 0;
}

LogFormat log_format(const config::OptionValues& values, const Output& output, bool no_progress_bar) {
  const std::string name = values.has_value("log-format") ? values.get_string("log-format") : "";
  return choose_log_format(name, output.status != nullptr, no_progress_bar);
}

}  // namespace

int run_training(const config::OptionValues& given, const Output& output,
                 const std::function<bool()>& stop_requested) {
  config::OptionValues values = given;
  apply_architecture(values);
  set_up_torch(num_threads(values));
  Progress progress(output, log_format(values, output, values.get_bool("no-progress-bar")),
                    values.get_string("log-file"));
  return Session(values, progress, stop_requested).run();
}

int run_quantize(const config::OptionValues& values, const Output& output) {
  const std::string& path = values.get_string("model");
  const std::string& config_path = values.get_string("quantization-config-path");
  const std::string& target = values.get_string("output");
  QN_REQUIRE(!path.empty(), ErrorKind::kUsage, "no model file given");
  QN_REQUIRE(!config_path.empty(), ErrorKind::kUsage,
             "no quantization configuration given: --config FILE.yaml");
  QN_REQUIRE(!target.empty(), ErrorKind::kUsage, "no file to write given: -o FILE");
  set_up_torch(num_threads(values));
  Progress progress(output, log_format(values, output, false));

  const quant::PqOptions options = pq_options(values);
  const config::QuantizationConfig config = config::load_quantization_config(config_path);
  LoadedModel loaded = load_model(path, options.gradient);
  const quant::Plan plan = quant::plan_pq(*loaded.model, config);
  progress.message(plan.text(), "plan");
  QN_REQUIRE(std::any_of(plan.stages.begin(), plan.stages.end(), [](const auto& stage) { return !stage.empty(); }),
             ErrorKind::kConfig, "nothing to quantize in ", path, ": every layer that ", config_path,
             " names is quantized already");
  // The schedule does not matter: the stages follow one another at once.
  const auto num_stages = static_cast<int64_t>(plan.stages.size());
  StageRunner stages(config, plan, StageSchedule::make(num_stages, 0, num_stages), options);
  for (int64_t stage = 0; stage < num_stages; ++stage) {
    const std::vector<quant::QuantizedLayer> layers = stages.begin(*loaded.model, 0);
    stages.end(0, std::nullopt);
    double error = 0;
    double numel = 0;
    for (const quant::QuantizedLayer& layer : layers) {
      error += layer.relative_error * static_cast<double>(layer.numel);
      numel += static_cast<double>(layer.numel);
    }
    Event event{"stage", {{"stage", stage + 1}, {"layers", static_cast<int64_t>(layers.size())}}};
    if (numel > 0) event.add("relative_error", error / numel);
    describe_size(event, track_size(*loaded.model));
    progress.result(event);
  }
  pack::ModelFile file = pack_model(*loaded.model, loaded.dictionary, loaded.tokenizer);
  file.history_json = with_stages(loaded.file.history_json, stages.state());
  const uint64_t bytes_before = pack::size_report(path).file_bytes - pack::size_report(path).training_bytes;
  const uint64_t bytes = pack::write_model_file(target, file).file_bytes;
  progress.result(Event{"done",
                        {{"bytes_before", static_cast<int64_t>(bytes_before)},
                         {"bytes", static_cast<int64_t>(bytes)},
                         {"path", target}}});
  return 0;
}

}  // namespace quantnoise::train
