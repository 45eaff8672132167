#include "learn/train/restore.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "learn/train/checkpoint.h"
#include "quantnoise/base/error.h"
#include "quantnoise/base/file.h"
#include "quantnoise/train/prune.h"

namespace quantnoise::train {
namespace {

struct SourcePath {
  std::string path;
  bool weights_only = false;
};

std::optional<SourcePath> source_path(const config::OptionValues& values) {
  const std::string& asked = values.get_string("restore-file");
  const std::string& finetune = values.get_string("finetune-from-model");
  const std::string last = values.get_string("save-dir") + "/" + kLastCheckpoint;
  // The default's own name asks for no more than the default.
  const bool is_default = asked == kLastCheckpoint && !base::file_exists(asked);
  if (values.is_explicit("restore-file") && !asked.empty() && !is_default) {
    QN_REQUIRE(finetune.empty(), ErrorKind::kConfig, "--restore-file ", asked, " and --finetune-from-model ",
               finetune, " cannot be given together");
    QN_REQUIRE(base::file_exists(asked), ErrorKind::kIo, "cannot restore from ", asked,
               " (--restore-file): no such file");
    return SourcePath{asked, false};
  }
  for (const char* reset : {"reset-optimizer", "reset-lr-scheduler", "reset-meters", "reset-dataloader"}) {
    QN_REQUIRE(finetune.empty() || !values.get_bool(reset), ErrorKind::kConfig, "--", reset,
               " and --finetune-from-model ", finetune,
               " cannot be given together: a new run starts afresh, and one that was begun goes on");
  }
  if (base::file_exists(last)) return SourcePath{last, false};
  if (finetune.empty()) return std::nullopt;
  QN_REQUIRE(base::file_exists(finetune), ErrorKind::kIo, "cannot start from ", finetune,
             " (--finetune-from-model): no such file");
  return SourcePath{finetune, true};
}

void require_same(const char* option, const std::string& stored, const config::OptionValues& values,
                  const char* reset) {
  const std::string& given = values.get_string(option);
  if (stored == given) return;
  throw Error(
      ErrorKind::kConfig,
      str_cat("the checkpoint was trained with --", option, " ", stored, ", found --", option, " ", given),
      str_cat("give the same, or start anew from its weights with ", reset));
}

void check_resume(const RestoreSource& source, const config::OptionValues& values) {
  if (source.take_progress) {
    require_same("optimizer", source.state->optimizer, values, "--reset-optimizer");
    if (source.take_schedule)
      require_same("lr-scheduler", source.state->lr_scheduler, values, "--reset-lr-scheduler");
  }
  if (source.resumes_quantization() && values.get_string("quantization-config-path").empty()) {
    throw Error(
        ErrorKind::kConfig,
        "the checkpoint belongs to a quantization by stages, and --quantization-config-path is "
        "not given",
        "give the same configuration to go on, or --reset-optimizer to start a new run from its weights");
  }
}

/// Whether the run of this checkpoint took out the same layers already.
bool are_cut(const TrainingState& state, std::vector<int64_t> layers) {
  const auto options = nlohmann::json::parse(state.options, nullptr, /*allow_exceptions=*/false);
  if (!options.is_object() || !options.contains(kLayersToKeep) || !options[kLayersToKeep].is_array())
    return false;
  auto cut = options[kLayersToKeep].get<std::vector<nlohmann::json>>();
  std::sort(cut.begin(), cut.end());
  std::sort(layers.begin(), layers.end());
  return nlohmann::json(cut) == nlohmann::json(layers);
}

}  // namespace

std::optional<RestoreSource> find_restore_source(const config::OptionValues& values) {
  const std::optional<SourcePath> chosen = source_path(values);
  if (!chosen) return std::nullopt;
  RestoreSource source;
  source.path = chosen->path;
  source.file = pack::read_model_file(source.path);
  try {
    if (source.file.kind == "checkpoint") source.state = training_state_from_json(source.file.training_json);
    if (values.has_value(kLayersToKeep) &&
        !(source.state && are_cut(*source.state, values.get_int_list(kLayersToKeep)))) {
      keep_decoder_layers(source.file, values.get_int_list(kLayersToKeep));
      source.state.reset();
      return source;
    }
    // A dense checkpoint under a quantization starts a new run from its weights.
    const bool starts_quantization = !values.get_string("quantization-config-path").empty() && source.state &&
                                     source.state->stages.config.empty();
    if (!source.state || chosen->weights_only || starts_quantization) return source;
    source.take_progress = !values.get_bool("reset-optimizer");
    source.take_schedule = source.take_progress && !values.get_bool("reset-lr-scheduler");
    source.take_meters = !values.get_bool("reset-meters");
    source.take_position = !values.get_bool("reset-dataloader");
    check_resume(source, values);
  } catch (Error& error) {
    throw error.in(source.path);
  }
  return source;
}

}  // namespace quantnoise::train
