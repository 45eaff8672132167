#pragma once
// Where a run starts from: nothing, a model's weights, or a checkpoint to go on with.

#include <optional>
#include <string>

#include "learn/train/training_state.h"
#include "quantnoise/config/options.h"
#include "quantnoise/pack/model_file.h"

namespace quantnoise::train {

/// A file to start from and what is taken from it.
struct RestoreSource {
  std::string path;
  pack::ModelFile file;
  std::optional<TrainingState> state;  ///< of a checkpoint
  bool take_progress = false;          ///< optimizer and number of updates
  bool take_schedule = false;
  bool take_meters = false;    ///< meters and best value
  bool take_position = false;  ///< epoch and position in the data

  /// Whether the run of the file is gone on with.
  bool resumes() const { return take_progress; }
  bool resumes_quantization() const { return take_progress && !state->stages.config.empty(); }
};

/// Reads the file that the options name; nothing for a run from scratch.
/// Errors: kIo for a missing file that was asked for; kFormat for a damaged or foreign one; kConfig for
/// options that contradict each other or the file (optimizer, schedule, quantization run without its
/// configuration).
std::optional<RestoreSource> find_restore_source(const config::OptionValues& values);

}  // namespace quantnoise::train
