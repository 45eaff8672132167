#pragma once
// Between a model in memory and a model file: weights by slot with their schemes, ties by name, dictionary
// inside.

#include <map>
#include <memory>
#include <string>

#include "quantnoise/models/transformer_lm.h"
#include "quantnoise/pack/model_file.h"
#include "quantnoise/text/dictionary.h"

namespace quantnoise::quant {
struct NamedSlot;
}

namespace quantnoise::train {

/// A model file brought to life.
struct LoadedModel {
  std::shared_ptr<models::LanguageModel> model;  ///< in eval mode
  text::Dictionary dictionary;
  std::string tokenizer;  ///< name: "words", "space"
  pack::ModelFile file;   ///< weights point into the mapped file
};

/// A slot's weight as a file holds it. Errors: those of Representation::pack(), naming the layer.
codec::PackedWeight pack_weight(const quant::NamedSlot& named);

/// The file's content for a model: every slot packed once under its canonical name (`….weight`), ties, other
/// parameters, how evaluation quantizes the inputs of products, architecture and options, dictionary and
/// tokenizer. History and training state are the caller's to add.
pack::ModelFile pack_model(models::LanguageModel& model, const text::Dictionary& dictionary,
                           const std::string& tokenizer);

/// Reads a model or checkpoint file. Errors: kFormat, kIo as pack::read_model_file; kFormat for weights the
/// architecture does not know or that are missing, naming them; kData for a dictionary that does not fit the
/// embedding.
LoadedModel load_model(const std::string& path,
                       codec::CentroidGradient gradient = codec::CentroidGradient::kSum);

/// Puts the file's weights into an existing model of the same architecture: representations are exchanged so
/// that the model's schemes equal the file's, and the inputs of products are quantized as the file says.
/// Errors as load_model; the model is unchanged after an error.
void restore_weights(models::LanguageModel& model, const pack::ModelFile& file,
                     codec::CentroidGradient gradient = codec::CentroidGradient::kSum);

/// Options of the training task that a file remembers (history_json, key "task": canonical option name →
/// value), as text: tokens-per-sample, sample-break-mode … Empty where nothing is remembered.
std::map<std::string, std::string> stored_task_options(const pack::ModelFile& file);

/// Name of the tokenizer that a file remembers. Errors: kFormat for one that is not known.
std::string stored_tokenizer(const pack::ModelFile& file);

/// A CPU tensor as the file holds it; the bytes are copied. Errors: kInternal for a type the file does not
/// know.
pack::RawTensor to_raw_tensor(const at::Tensor& tensor);
/// The inverse, a copy of its own.
at::Tensor from_raw_tensor(const pack::RawTensor& raw);

/// A warning when a folder's text was cut into words in another way than the model's: the numbers fit, and
/// words that stand beside punctuation may have become unknown ones.
void warn_of_other_tokenizer(const std::string& model_tokenizer, const std::string& data_tokenizer,
                             const std::string& data_name);
/// Errors: kData when a data folder's dictionary is not the model's, naming the first word that differs. A
/// shorter dictionary that agrees as far as it goes is refused too: its numbers fit, its words do not.
void require_same_dictionary(const text::Dictionary& model_dictionary,
                             const text::Dictionary& data_dictionary, const std::string& data_name);

}  // namespace quantnoise::train
