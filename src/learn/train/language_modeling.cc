#include <nlohmann/json.hpp>

#include "learn/train/model_options.h"
#include "learn/train/tasks.h"
#include "quantnoise/base/error.h"
#include "quantnoise/base/log.h"
#include "quantnoise/models/registry.h"
#include "quantnoise/train/model_io.h"

namespace quantnoise::train {
namespace {

text::Dictionary dictionary_of(const pack::ModelFile& file, const std::string& name) {
  const auto blob = file.blobs.find("dictionary");
  QN_REQUIRE(blob != file.blobs.end(), ErrorKind::kFormat, name, " holds no dictionary");
  return text::Dictionary(text::DictionaryView::open(blob->second.bytes, name));
}

/// "FOLDER:FOLDER:…", as fairseq takes them: the dictionary and the validation splits are the first one's.
/// Errors: those of LanguageModelData; kData for a folder without the split to train on.
std::vector<data::LanguageModelData> open_folders(const std::string& list, const std::string& train_split) {
  std::vector<data::LanguageModelData> folders;
  for (const std::string& folder : text::split_folders(list)) {
    folders.push_back(data::LanguageModelData::open(folder, folders.empty() ? nullptr : &folders.front()));
    folders.back().require_split(train_split);
    require_same_dictionary(*folders.front().dictionary(), *folders.back().dictionary(), folder);
    warn_of_other_tokenizer(folders.front().tokenizer_name(), folders.back().tokenizer_name(), folder);
  }
  QN_REQUIRE(!folders.empty(), ErrorKind::kUsage, "no data folder given");
  return folders;
}

class LanguageModeling : public Task {
 public:
  explicit LanguageModeling(const config::OptionValues& values)
      : values_(values), data_(open_folders(values.get_string("data"), values.get_string("train-subset"))) {}

  const text::Dictionary& dictionary() const override { return *data_.front().dictionary(); }
  const std::string& tokenizer_name() const override { return data_.front().tokenizer_name(); }
  int64_t num_data_shards() const override { return static_cast<int64_t>(data_.size()); }

  std::shared_ptr<const data::BatchDataset> dataset(const std::string& split, bool combine,
                                                    int64_t max_positions, int64_t shard) const override {
    data::LanguageModelOptions options;
    options.tokens_per_sample = tokens_per_sample(max_positions);
    options.sample_break_mode = text::parse_break_mode(values_.get_string("sample-break-mode"));
    options.combine = combine;
    options.output_dictionary_size = values_.get_int("output-dictionary-size");
    return data_.at(static_cast<size_t>(shard)).split(split, options);
  }

  std::shared_ptr<models::LanguageModel> build_model(const pack::ModelFile* file) const override {
    if (file == nullptr) {
      const std::string family = models::find_architecture(values_.get_string("arch")).family;
      return models::make_model(family,
                                models::to_json(transformer_lm_options(values_, dictionary().size())));
    }
    const models::Architecture& asked = models::find_architecture(values_.get_string("arch"));
    QN_REQUIRE(!values_.is_explicit("arch") || asked.family == file->architecture, ErrorKind::kConfig,
               "--arch ", asked.name, " (", asked.family,
               ") conflicts with the restored file, which holds a ", file->architecture);
    require_no_conflict(file->options_json, values_, "the restored file");
    require_same_dictionary(dictionary_of(*file, "the restored file"), dictionary(), data_.front().folder());
    warn_of_other_tokenizer(stored_tokenizer(*file), tokenizer_name(), data_.front().folder());
    return models::make_model(file->architecture, with_regularization(file->options_json, values_));
  }

  std::string describe(int64_t max_positions) const override {
    nlohmann::json task = {{"name", "language_modeling"},
                           {"tokens_per_sample", tokens_per_sample(max_positions)},
                           {"sample_break_mode", values_.get_string("sample-break-mode")}};
    const int64_t size = values_.get_int("output-dictionary-size");
    if (size >= 0) task["output_dictionary_size"] = size;
    return task.dump();
  }

 private:
  int64_t tokens_per_sample(int64_t max_positions) const {
    const int64_t wanted = values_.get_int("tokens-per-sample");
    if (wanted <= max_positions) return wanted;
    // Only a restored model can be shorter than the default.
    if (!values_.is_explicit("tokens-per-sample")) return max_positions;
    throw Error(ErrorKind::kConfig,
                str_cat("--tokens-per-sample ", wanted, " exceeds the model's longest sequence, ",
                        max_positions, " tokens (max_target_positions)"));
  }

  const config::OptionValues& values_;
  std::vector<data::LanguageModelData> data_;  ///< one a folder
};

}  // namespace

std::unique_ptr<Task> make_language_modeling(const config::OptionValues& values) {
  return std::make_unique<LanguageModeling>(values);
}

}  // namespace quantnoise::train
