#pragma once
// Checkpoints: a model file with training tensors beside the weights. And the files of a save-dir.

#include <string>
#include <vector>

#include "learn/train/training_state.h"
#include "quantnoise/config/options.h"
#include "quantnoise/models/transformer_lm.h"
#include "quantnoise/pack/model_file.h"
#include "quantnoise/train/optimizer.h"

namespace quantnoise::train {

inline constexpr const char* kLastCheckpoint = "checkpoint_last.qn";
inline constexpr const char* kBestCheckpoint = "checkpoint_best.qn";
inline constexpr const char* kModelFile = "model.qn";

/// Turns a packed model into a checkpoint: adds fp32 originals and noise state of the slots, ranges and
/// observers of quantized inputs, the optimizer's moments (optimizer may be null) and the counters.
void add_training_state(pack::ModelFile& file, torch::nn::Module& model, const Optimizer* optimizer,
                        const TrainingState& state);
/// Takes it away again: a file of kind "model".
void remove_training_state(pack::ModelFile& file);

/// Puts fp32 originals and noise state back; the model's representations are the file's already.
/// Errors: kFormat when they do not fit.
void load_slot_state(torch::nn::Module& model, const pack::ModelFile& file);
/// Of these the fp32 originals alone: for a new run from the weights. A model file has none.
void load_originals(torch::nn::Module& model, const pack::ModelFile& file);
/// Errors: kFormat; a hint when the file was saved without optimizer state.
void load_optimizer_state(Optimizer& optimizer, const pack::ModelFile& file, int64_t num_updates);

/// Which old checkpoints stay; −1: all.
struct Retention {
  int64_t interval_updates = -1;
  int64_t interval_updates_pattern = -1;
  int64_t last_epochs = -1;
  int64_t best = -1;
  std::string metric = "loss";
  bool maximize = false;
};
Retention retention_options(const config::OptionValues& values);

/// Names such as checkpoint3.qn, checkpoint_3_200.qn, checkpoint.best_loss_4.561_200.qn (of update 200).
std::string epoch_checkpoint(int64_t epoch);
std::string update_checkpoint(int64_t epoch, int64_t num_updates);
std::string ranked_checkpoint(const std::string& metric, double value, int64_t num_updates);

/// Whether a checkpoint of this metric is one of the `retention.best` best of the folder; false where none
/// are kept.
bool is_among_best(const std::string& save_dir, const Retention& retention, double metric);

/// Deletes what need not stay; files that are not checkpoints are never touched.
void prune_checkpoints(const std::string& save_dir, const Retention& retention);

}  // namespace quantnoise::train
