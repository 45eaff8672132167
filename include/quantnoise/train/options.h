#pragma once
// The options of `qn train` and `qn quantize`: fairseq-train's names, defaults and meaning, plus ours.

#include <string>

#include "quantnoise/config/options.h"

namespace quantnoise::train {

/// Groups of options, as shown in the help text.
namespace option_group {
inline constexpr const char* kTask = "task and data";
inline constexpr const char* kModel = "model";
inline constexpr const char* kRegularization = "regularization";  ///< of the model, but never stored with it
inline constexpr const char* kOptimization = "optimization";
inline constexpr const char* kSchedule = "learning rate schedule";
inline constexpr const char* kNoise = "quantization noise";
inline constexpr const char* kScalar = "scalar quantization";
inline constexpr const char* kQuantization = "product quantization";
inline constexpr const char* kCheckpoint = "checkpoints";
inline constexpr const char* kValidation = "validation";
inline constexpr const char* kProgress = "progress";
inline constexpr const char* kMachine = "machine";
inline constexpr const char* kNoEffect = "without effect here";
}  // namespace option_group

/// Declares everything `qn train` accepts. The positional argument is the option "data".
void declare_train_options(config::OptionTable& table);

/// Declares everything `qn quantize` accepts: "model" (positional), "output" (alias "o"), "scheme" and
/// "scalar-…", "quantization-config-path" (alias "config") and "pq-…", "seed", "threads", "log-format".
void declare_quantize_options(config::OptionTable& table);

/// Sets the defaults of the architecture given by --arch, with the rank kArchitecture.
/// Errors: kConfig for an unknown architecture.
void apply_architecture(config::OptionValues& values);

}  // namespace quantnoise::train
