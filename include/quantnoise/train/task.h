#pragma once
// A task brings data, dictionary and model together.

#include <memory>
#include <string>
#include <vector>

#include "quantnoise/config/options.h"
#include "quantnoise/data/dataset.h"
#include "quantnoise/models/transformer_lm.h"
#include "quantnoise/pack/model_file.h"
#include "quantnoise/text/dictionary.h"

namespace quantnoise::train {

class Task {
 public:
  virtual ~Task() = default;

  virtual const text::Dictionary& dictionary() const = 0;
  virtual const std::string& tokenizer_name() const = 0;
  /// Data folders; epoch e trains on number (e − 1) modulo this.
  virtual int64_t num_data_shards() const = 0;
  /// combine: SPLIT, SPLIT1, SPLIT2, … as one. max_positions: longest sequence the model takes. shard: which
  /// data folder. Errors: kData for a missing or empty split.
  virtual std::shared_ptr<const data::BatchDataset> dataset(const std::string& split, bool combine,
                                                            int64_t max_positions,
                                                            int64_t shard = 0) const = 0;
  /// A new model: of the architecture in `file` when there is one (its weights are not loaded), else as the
  /// options say; dropout rates are the options' in any case. Errors: kConfig for an explicit option that
  /// conflicts with the file, naming both; kData when the file's dictionary is not the data's.
  virtual std::shared_ptr<models::LanguageModel> build_model(const pack::ModelFile* file) const = 0;
  /// What a file of a model with so many positions tells about the task: one JSON object.
  virtual std::string describe(int64_t max_positions) const = 0;
};

/// Names for --task.
std::vector<std::string> task_names();
/// Opens the data of the task. The values must outlive it. Errors: kUsage without data; kConfig for an
/// unknown task; those of the data.
std::unique_ptr<Task> make_task(const config::OptionValues& values);

}  // namespace quantnoise::train
