#pragma once
// A whole training run: epochs, validation, stages, checkpoints.

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "learn/train/activation_plan.h"
#include "learn/train/checkpoint.h"
#include "learn/train/meters.h"
#include "learn/train/noise_plan.h"
#include "learn/train/progress.h"
#include "learn/train/restore.h"
#include "learn/train/scalar_setup.h"
#include "learn/train/stages.h"
#include "quantnoise/data/iterator.h"
#include "quantnoise/train/task.h"
#include "quantnoise/train/trainer.h"

namespace quantnoise::train {

class Session {
 public:
  /// Opens data, builds or restores the model, sets everything up. Errors: all of them before any training.
  Session(const config::OptionValues& values, Progress& progress, std::function<bool()> stop_requested);

  /// Trains to the end. Returns 0, or kStoppedEarly after a stop request.
  int run();

 private:
  /// What is due after an update.
  struct Due {
    bool end_of_epoch = false;
    bool end_of_stage = false;
    bool limit_reached = false;
    bool out_of_time = false;  ///< so that the limit is reached
    bool save = false;
    bool validate = false;
  };
  struct Validation {
    double loss = 0;    ///< bits, of the first subset
    double metric = 0;  ///< --best-checkpoint-metric, rounded
    bool is_best = false;
  };
  struct ValidSet {
    std::string name;
    std::shared_ptr<const data::BatchDataset> dataset;
    data::BatchList batches;
  };

  // Setting up (session_setup.cc).
  void build_model(const std::optional<RestoreSource>& source);
  void restore(const RestoreSource& source);
  /// Int-N grids for the weights, int8 centroids, as the options ask.
  void quantize_weights();
  void build_trainer();
  void build_data();
  /// The training data of an epoch: its folder, when there are several.
  void open_epoch(int64_t epoch);
  int64_t shard_of(int64_t epoch) const;
  void build_stages();
  void quantize_inputs();
  void resume(const RestoreSource& source);
  void announce_precision();
  void announce_noise();
  void announce_activations();
  void announce(const std::optional<RestoreSource>& source);

  // Training (session.cc).
  bool epoch_allowed() const;
  /// True: the run is over.
  bool train_epoch();
  void train_update(int64_t max_batches);
  bool after_update();
  Due what_is_due() const;
  void begin_due_stage();
  void end_stage(const std::optional<Validation>& validation);
  void end_epoch(const std::optional<Validation>& validation);
  void log_interval();
  int stop_early();
  int64_t epochs_done() const;
  /// Wall time since the start, and that of the runs this one goes on with.
  double seconds_in_all() const;

  // Validation and files (session_files.cc).
  double evaluate(const ValidSet& set);
  double validate_first();
  Validation validate();
  bool patience_is_over() const;
  /// Without validation, nothing is the best: what earlier runs kept stays.
  Retention retention() const;
  pack::ModelFile packed_model() const;
  std::string history_json() const;
  TrainingState state() const;
  std::optional<pack::ModelFile> best_checkpoint() const;
  void save(const Due& due, int64_t epoch, const std::optional<Validation>& validation);
  std::vector<std::string> checkpoint_names(const Due& due, int64_t epoch,
                                            const std::optional<Validation>& validation) const;
  void finish();
  std::string in_save_dir(const std::string& name) const;
  uint64_t write_model(const std::string& path, pack::ModelFile file);

  const config::OptionValues& values_;
  Progress& progress_;
  std::function<bool()> stop_requested_;
  std::string save_dir_;
  bool no_save_ = false;
  at::ScalarType valid_type_ = at::kFloat;

  std::unique_ptr<Task> task_;
  std::shared_ptr<models::LanguageModel> model_;
  std::unique_ptr<Trainer> trainer_;
  std::optional<ScalarSetup> scalar_;
  quant::ScalarPlan scalar_plan_;  // of the weights that have an int-N grid
  NoisePlan noise_;
  ActivationPlan activations_;
  std::string earlier_noise_ = "[]";  ///< JSON: records of the runs whose weights this one started from
  std::unique_ptr<StageRunner> stages_;
  std::unique_ptr<data::EpochIterator> iterator_;
  int64_t shard_ = 0;  ///< the folder iterator_ reads
  std::vector<ValidSet> valid_sets_;

  TrainingState progress_state_;  // best values, patience, seconds; the rest is filled in by state()
  Meter interval_meter_;
  Meter epoch_meter_;
  std::chrono::steady_clock::time_point started_;
  double earlier_seconds_ = 0;  ///< wall time of the runs this one goes on with
  int64_t first_update_ = 0;
  bool stopped_ = false;
};

}  // namespace quantnoise::train
