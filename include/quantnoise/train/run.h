#pragma once
// Whole runs, as the commands `qn train` and `qn quantize` do them. The commands only parse and print.

#include <functional>

#include "quantnoise/config/options.h"
#include "quantnoise/train/output.h"

namespace quantnoise::train {

/// Exit code of a run that was asked to stop, saved and said how to go on.
inline constexpr int kStoppedEarly = 1;

/// Trains as the values (of declare_train_options) say: restores, trains, quantizes by stages, validates,
/// saves. stop_requested (may be empty) is asked after every update; true: a checkpoint is saved and the run
/// ends. Architecture defaults are applied inside. Returns 0, or kStoppedEarly.
///
/// Results, one line each on output.result (JSON objects with --log-format json, key "event"):
///   stage_raw   stage, layers, valid_loss, valid_ppl, size_mib, size_ratio                 (right after
///   quantizing) stage       stage, layers, updates, raw_loss, raw_ppl, valid_loss, valid_ppl, size_mib,
///   size_ratio, bytes, path done        updates, epochs, valid_loss, valid_ppl (of the model file), bytes,
///   path
/// Progress on output.message: message, warning, plan, train_inner, train, valid, checkpoint.
///
/// Errors: quantnoise::Error of any kind; checkpoints saved before stay as they are.
int run_training(const config::OptionValues& values, const Output& output,
                 const std::function<bool()>& stop_requested = {});

/// Quantizes a model or checkpoint file without training (values of declare_quantize_options): by all stages
/// of a configuration, to int-N grids what these leave, or both; and writes a model file. Results: `stage`
/// (stage, layers, size_mib, size_ratio, relative_error) for each stage, `scalar` (scheme, method, layers,
/// relative_error) and `done` (bytes, path, bytes_before).
int run_quantize(const config::OptionValues& values, const Output& output);

}  // namespace quantnoise::train
