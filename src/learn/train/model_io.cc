#include "quantnoise/train/model_io.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>
#include <vector>

#include "learn/train/activation_io.h"
#include "quantnoise/base/error.h"
#include "quantnoise/base/log.h"
#include "quantnoise/config/options.h"
#include "quantnoise/models/registry.h"
#include "quantnoise/quant/slot.h"

namespace quantnoise::train {

namespace {

constexpr char kDictionaryBlob[] = "dictionary";
constexpr char kTokenizerBlob[] = "tokenizer";

// ---- tensors
// -------------------------------------------------------------------------------------------------------

const std::vector<std::pair<codec::ScalarType, at::ScalarType>>& scalar_types() {
  static const std::vector<std::pair<codec::ScalarType, at::ScalarType>> types = {
      {codec::ScalarType::kF32, at::kFloat},     {codec::ScalarType::kF16, at::kHalf},
      {codec::ScalarType::kBF16, at::kBFloat16}, {codec::ScalarType::kI8, at::kChar},
      {codec::ScalarType::kU8, at::kByte},       {codec::ScalarType::kI32, at::kInt},
      {codec::ScalarType::kI64, at::kLong}};
  return types;
}

at::ScalarType torch_type(codec::ScalarType type) {
  for (const auto& [ours, torchs] : scalar_types()) {
    if (ours == type) return torchs;
  }
  QN_INVARIANT(false);
}

codec::ScalarType our_type(at::ScalarType type) {
  for (const auto& [ours, torchs] : scalar_types()) {
    if (torchs == type) return ours;
  }
  throw Error(ErrorKind::kInternal, str_cat("a tensor of type ", at::toString(type), " cannot be stored"));
}

std::string shape_text(at::IntArrayRef shape) { return str_cat("(", join(shape, ", "), ")"); }

// ---- blobs
// ---------------------------------------------------------------------------------------------------------

codec::ByteBlock text_blob(const std::string& text) {
  const auto* bytes = reinterpret_cast<const std::byte*>(text.data());
  return codec::ByteBlock::own(std::vector<std::byte>(bytes, bytes + text.size()));
}

const codec::ByteBlock& find_blob(const pack::ModelFile& file, const std::string& name) {
  const auto found = file.blobs.find(name);
  QN_REQUIRE(found != file.blobs.end(), ErrorKind::kFormat, "the file has no ", name);
  return found->second;
}

// ---- names
// ---------------------------------------------------------------------------------------------------------

std::string weight_key(const std::string& layer) { return layer + ".weight"; }

/// Parameters and buffers that are no slot's: biases, norms, learned positions kept as plain parameters.
std::vector<quant::NamedParameter> plain_tensors(models::LanguageModel& model,
                                                 const std::vector<quant::NamedSlot>& slots) {
  std::set<const at::TensorImpl*> of_slots;
  for (const quant::NamedSlot& named : slots) {
    of_slots.insert(named.slot->representation().parameter().unsafeGetTensorImpl());
  }
  std::vector<quant::NamedParameter> tensors;
  for (quant::NamedParameter& parameter : quant::unique_parameters(model)) {
    if (!of_slots.contains(parameter.tensor.unsafeGetTensorImpl())) tensors.push_back(std::move(parameter));
  }
  for (const auto& buffer : model.named_buffers()) tensors.push_back({buffer.key(), buffer.value()});
  return tensors;
}

/// "a, b, c and 12 more".
std::string short_list(const std::vector<std::string>& names) {
  constexpr size_t kShown = 4;
  if (names.size() <= kShown) return join(names, ", ");
  const std::vector<std::string> shown(names.begin(), names.begin() + kShown);
  return str_cat(join(shown, ", "), " and ", names.size() - kShown, " more");
}

// ---- restoring
// -----------------------------------------------------------------------------------------------------

/// Everything a restore will do, prepared and checked before the model is touched.
struct RestorePlan {
  std::vector<std::pair<std::shared_ptr<quant::WeightSlot>, std::unique_ptr<quant::Representation>>>
      exchanges;
  std::vector<std::pair<at::Tensor, at::Tensor>> copies;  // target, value
};

void check_names(const pack::ModelFile& file, const std::vector<quant::NamedSlot>& slots,
                 const std::vector<quant::NamedParameter>& plain) {
  std::vector<std::string> missing;
  std::vector<std::string> unknown;
  std::set<std::string> known;
  for (const quant::NamedSlot& named : slots) {
    known.insert(weight_key(named.name));
    if (!file.weights.contains(weight_key(named.name))) missing.push_back(weight_key(named.name));
  }
  for (const quant::NamedParameter& parameter : plain) {
    known.insert(parameter.name);
    if (!file.tensors.contains(parameter.name)) missing.push_back(parameter.name);
  }
  for (const auto& [name, weight] : file.weights) {
    if (!known.contains(name)) unknown.push_back(name);
  }
  for (const auto& [name, tensor] : file.tensors) {
    if (!known.contains(name) && !name.starts_with(pack::kTrainingPrefix)) unknown.push_back(name);
  }
  if (missing.empty() && unknown.empty()) return;
  std::string message = str_cat("the weights do not fit the architecture ", file.architecture);
  if (!missing.empty()) message += str_cat("; missing: ", short_list(missing));
  if (!unknown.empty()) message += str_cat("; unknown: ", short_list(unknown));
  throw Error(ErrorKind::kFormat, message);
}

void check_ties(const pack::ModelFile& file, const std::vector<quant::NamedSlot>& slots) {
  std::map<std::string, std::string> expected;
  for (const quant::NamedSlot& named : slots) {
    for (const std::string& alias : named.aliases)
      expected.emplace(weight_key(alias), weight_key(named.name));
  }
  for (const auto& [alias, name] : expected) {
    const auto found = file.ties.find(alias);
    QN_REQUIRE(found != file.ties.end() && found->second == name, ErrorKind::kFormat,
               "the architecture ties ", alias, " to ", name, ", the file does not");
  }
  for (const auto& [alias, name] : file.ties) {
    QN_REQUIRE(expected.contains(alias), ErrorKind::kFormat, "the file ties ", alias, " to ", name,
               ", the architecture does not");
  }
}

void plan_slot(const quant::NamedSlot& named, const pack::ModelFile& file, codec::CentroidGradient gradient,
               RestorePlan& plan) {
  const std::string key = weight_key(named.name);
  const codec::PackedWeight& packed = file.weights.at(key);
  const std::vector<int64_t> expected = named.slot->representation().shape();
  QN_REQUIRE(packed.shape == expected, ErrorKind::kFormat, key, ": found shape ", shape_text(packed.shape),
             ", expected ", shape_text(expected));
  try {
    plan.exchanges.emplace_back(named.slot, quant::from_packed(packed, gradient));
  } catch (Error& error) {
    throw error.in(key);
  }
}

void plan_tensor(const quant::NamedParameter& parameter, const pack::ModelFile& file, RestorePlan& plan) {
  const pack::RawTensor& raw = file.tensors.at(parameter.name);
  QN_REQUIRE(parameter.tensor.sizes() == at::IntArrayRef(raw.shape), ErrorKind::kFormat, parameter.name,
             ": found shape ", shape_text(raw.shape), ", expected ", shape_text(parameter.tensor.sizes()));
  plan.copies.emplace_back(parameter.tensor, from_raw_tensor(raw));
}

// ---- loading
// -------------------------------------------------------------------------------------------------------

text::Dictionary read_dictionary(const pack::ModelFile& file) {
  const codec::ByteBlock& blob = find_blob(file, kDictionaryBlob);
  return text::Dictionary(text::DictionaryView::open(blob.bytes, "the dictionary"));
}

/// Before the model is built, so that a damaged number does not decide how much memory is taken.
void check_vocabulary(const pack::ModelFile& file, const text::Dictionary& dictionary) {
  const auto options = nlohmann::json::parse(file.options_json, nullptr, false);
  QN_REQUIRE(options.is_object(), ErrorKind::kFormat, "the architecture's options are not a JSON object");
  const auto vocabulary = options.find("vocab_size");
  if (vocabulary == options.end() || !vocabulary->is_number_integer()) return;
  QN_REQUIRE(vocabulary->get<int64_t>() == dictionary.size(), ErrorKind::kData, "the dictionary has ",
             dictionary.size(), " entries, the model's embedding ", vocabulary->get<int64_t>());
}

std::shared_ptr<models::LanguageModel> build_model(const pack::ModelFile& file) {
  try {
    return models::make_model(file.architecture, file.options_json);
  } catch (const Error& error) {
    // What is wrong comes from the file, not from the command line.
    throw Error(ErrorKind::kFormat, error.what(), error.hint());
  } catch (const c10::Error& error) {
    throw Error(ErrorKind::kFormat,
                str_cat("no model can be built from the stored options: ", error.what_without_backtrace()));
  } catch (const std::bad_alloc&) {
    throw Error(ErrorKind::kFormat, "no model can be built from the stored options: not enough memory");
  }
}

}  // namespace

pack::RawTensor to_raw_tensor(const at::Tensor& tensor) {
  const at::Tensor source = tensor.detach().to(at::kCPU).contiguous();
  std::vector<std::byte> bytes(source.nbytes());
  if (!bytes.empty()) std::memcpy(bytes.data(), source.const_data_ptr(), bytes.size());
  return {our_type(source.scalar_type()), source.sizes().vec(), codec::ByteBlock::own(std::move(bytes))};
}

at::Tensor from_raw_tensor(const pack::RawTensor& raw) {
  at::Tensor tensor = torch::empty(raw.shape, torch_type(raw.type));
  QN_REQUIRE(tensor.nbytes() == raw.data.bytes.size(), ErrorKind::kFormat, "found ", raw.data.bytes.size(),
             " bytes, expected ", tensor.nbytes(), " for shape ", shape_text(raw.shape));
  if (tensor.nbytes() > 0) std::memcpy(tensor.data_ptr(), raw.data.bytes.data(), tensor.nbytes());
  return tensor;
}

codec::PackedWeight pack_weight(const quant::NamedSlot& named) {
  try {
    return named.slot->representation().pack();
  } catch (Error& error) {
    throw error.in("layer " + named.name);
  }
}

pack::ModelFile pack_model(models::LanguageModel& model, const text::Dictionary& dictionary,
                           const std::string& tokenizer) {
  pack::ModelFile file;
  file.architecture = model.architecture();
  file.options_json = model.options_json();
  const std::vector<quant::NamedSlot> slots = quant::named_slots(model);
  for (const quant::NamedSlot& named : slots) {
    file.weights.emplace(weight_key(named.name), pack_weight(named));
    for (const std::string& alias : named.aliases)
      file.ties.emplace(weight_key(alias), weight_key(named.name));
  }
  for (const quant::NamedParameter& parameter : plain_tensors(model, slots)) {
    file.tensors.emplace(parameter.name, to_raw_tensor(parameter.tensor));
  }
  file.activations = pack_activations(model);
  file.blobs.emplace(kDictionaryBlob, codec::ByteBlock::own(text::dictionary_to_bytes(dictionary)));
  file.blobs.emplace(kTokenizerBlob, text_blob(tokenizer));
  return file;
}

void restore_weights(models::LanguageModel& model, const pack::ModelFile& file,
                     codec::CentroidGradient gradient) {
  const std::vector<quant::NamedSlot> slots = quant::named_slots(model);
  const std::vector<quant::NamedParameter> plain = plain_tensors(model, slots);
  check_ties(file, slots);
  check_names(file, slots, plain);
  RestorePlan plan;
  for (const quant::NamedSlot& named : slots) plan_slot(named, file, gradient, plan);
  for (const quant::NamedParameter& parameter : plain) plan_tensor(parameter, file, plan);
  const ActivationRestore activations(model, file.activations);

  torch::NoGradGuard no_grad;
  for (auto& [slot, representation] : plan.exchanges) slot->exchange(std::move(representation));
  for (auto& [target, value] : plan.copies) target.copy_(value);
  activations.apply();
}

LoadedModel load_model(const std::string& path, codec::CentroidGradient gradient) {
  LoadedModel loaded;
  loaded.file = pack::read_model_file(path);
  try {
    loaded.dictionary = read_dictionary(loaded.file);
    loaded.tokenizer = stored_tokenizer(loaded.file);
    check_vocabulary(loaded.file, loaded.dictionary);
    loaded.model = build_model(loaded.file);
    restore_weights(*loaded.model, loaded.file, gradient);
  } catch (Error& error) {
    throw error.in(path);
  }
  loaded.model->eval();
  return loaded;
}

std::map<std::string, std::string> stored_task_options(const pack::ModelFile& file) {
  const auto history = nlohmann::json::parse(file.history_json, nullptr, false);
  std::map<std::string, std::string> options;
  if (!history.is_object() || !history.contains("task") || !history["task"].is_object()) return options;
  for (const auto& [name, value] : history["task"].items()) {
    if (!value.is_primitive()) continue;
    options.emplace(config::canonical_name(name),
                    value.is_string() ? value.get<std::string>() : value.dump());
  }
  return options;
}

std::string stored_tokenizer(const pack::ModelFile& file) {
  const codec::ByteBlock& blob = find_blob(file, kTokenizerBlob);
  const std::string name(reinterpret_cast<const char*>(blob.bytes.data()), blob.bytes.size());
  const std::vector<std::string> known = text::tokenizer_names();
  QN_REQUIRE(std::find(known.begin(), known.end(), name) != known.end(), ErrorKind::kFormat,
             "unknown tokenizer '", name, "', expected one of ", join(known, ", "));
  return name;
}

void warn_of_other_tokenizer(const std::string& model_tokenizer, const std::string& data_tokenizer,
                             const std::string& data_name) {
  if (model_tokenizer == data_tokenizer) return;
  base::log(base::LogLevel::kWarning,
            str_cat("the text of ", data_name, " was cut into words by the tokenizer '", data_tokenizer,
                    "', the model's is '", model_tokenizer, "': qn preprocess --tokenizer"));
}

void require_same_dictionary(const text::Dictionary& model_dictionary,
                             const text::Dictionary& data_dictionary, const std::string& data_name) {
  if (model_dictionary == data_dictionary) return;
  const int64_t common = std::min(model_dictionary.size(), data_dictionary.size());
  std::string difference;
  for (int64_t i = 0; i < common && difference.empty(); ++i) {
    if (model_dictionary.symbol(i) != data_dictionary.symbol(i)) {
      difference = str_cat("entry ", i, " is '", data_dictionary.symbol(i), "', expected '",
                           model_dictionary.symbol(i), "'");
    }
  }
  if (difference.empty()) {
    difference = str_cat("found ", data_dictionary.size(), " entries, expected ", model_dictionary.size());
  }
  throw Error(ErrorKind::kData, str_cat("the dictionary of ", data_name, " is not the model's: ", difference),
              "prepare the data with the model's dictionary: qn preprocess --srcdict");
}

}  // namespace quantnoise::train
