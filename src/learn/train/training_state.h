#pragma once
// Everything a run must remember beside weights and optimizer moments. Plain numbers and texts.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "quantnoise/data/iterator.h"

namespace quantnoise::train {

/// What came of one stage of a quantization.
struct StageRecord {
  int64_t stage = 0;  ///< from 1
  std::vector<std::string> layers;
  int64_t begin_update = 0;
  int64_t end_update = 0;
  std::optional<double> raw_loss;    ///< bits; right after quantizing
  std::optional<double> valid_loss;  ///< bits; after finetuning
};

struct StageState {
  std::string config;    ///< the quantization configuration as JSON; empty: no quantization run
  int64_t current = -1;  ///< stage at work, from 0; −1: none yet
  bool finished = true;  ///< the current stage is through
  std::vector<StageRecord> records;
};

struct TrainingState {
  int64_t num_updates = 0;
  data::IteratorState iterator;
  std::string optimizer;
  std::string lr_scheduler;
  std::map<std::string, double> scheduler_state;
  std::map<std::string, double> meter;
  double train_seconds = 0;  ///< in updates
  double wall_seconds = 0;   ///< from the start on, those of runs that were gone on with included

  std::optional<double> best_metric;      ///< rounded as the reference rounds it
  std::optional<double> best_loss;        ///< bits, of the best checkpoint
  std::optional<double> patience_metric;  ///< best for the patience, which wants strict gains
  int64_t validations_without_gain = 0;

  StageState stages;
  std::string options = "{}";  ///< of the run, for people: one JSON object
};

/// One JSON object and back. Errors: kFormat naming what is missing or of the wrong type.
std::string to_json(const TrainingState& state);
TrainingState training_state_from_json(const std::string& json);

/// A model's history (one JSON object) with these stages as its "stages"; what else it tells stays.
std::string with_stages(const std::string& history_json, const StageState& stages);

}  // namespace quantnoise::train
