#pragma once
// Quantization by stages while training goes on.

#include <cstdint>
#include <string>

#include "learn/train/progress.h"
#include "learn/train/training_state.h"
#include "quantnoise/codec/size.h"
#include "quantnoise/config/yaml.h"
#include "quantnoise/quant/pq.h"

namespace quantnoise::train {

/// Equal shares of a run.
struct StageSchedule {
  int64_t num_stages = 0;
  int64_t updates_per_stage = 0;  ///< 0: counted in epochs
  int64_t epochs_per_stage = 0;

  /// Errors: kConfig unless exactly one of the limits is given (positive) and a multiple of the number of
  /// stages.
  static StageSchedule make(int64_t num_stages, int64_t max_epoch, int64_t max_update);
  /// How many shares are over after so many updates and whole epochs.
  int64_t shares_over(int64_t num_updates, int64_t epochs_done) const;
};

/// The stages of a model: when they begin and end, and what they do to it.
class StageRunner {
 public:
  StageRunner(const config::QuantizationConfig& config, quant::Plan plan, StageSchedule schedule,
              quant::PqOptions options);

  /// Takes up a run where its checkpoint was. Errors: kConfig when that run had another configuration.
  void resume(const StageState& state);
  const StageState& state() const { return state_; }
  const quant::Plan& plan() const { return plan_; }
  int64_t num_stages() const { return schedule_.num_stages; }

  /// Whether the next stage begins before the next update.
  bool begins(int64_t num_updates, int64_t epochs_done) const;
  /// Quantizes the layers of the next stage. Errors: those of quantize_stage, with the stage's number.
  std::vector<quant::QuantizedLayer> begin(torch::nn::Module& model, int64_t num_updates);
  /// Whether the current stage is over after the last update.
  bool ends(int64_t num_updates, int64_t epochs_done) const;
  void end(int64_t num_updates, std::optional<double> valid_loss);

  StageRecord& current_record() { return state_.records.back(); }

 private:
  quant::Plan plan_;
  StageSchedule schedule_;
  quant::PqOptions options_;
  StageState state_;
};

/// Gradient and type of centroids, rounds, seed.
quant::PqOptions pq_options(const config::OptionValues& values);

/// fairseq's figures for the model as it is now.
codec::SizeTracker track_size(torch::nn::Module& model);

/// Adds size_mib and size_ratio.
void describe_size(Event& event, const codec::SizeTracker& tracker);

}  // namespace quantnoise::train
