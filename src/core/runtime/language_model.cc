#include "quantnoise/runtime/language_model.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/runtime/model_state.h"
#include "quantnoise/base/error.h"
#include "quantnoise/kernels/lookup.h"

namespace quantnoise::runtime {

namespace {

using Blobs = std::map<std::string, codec::ByteBlock>;

const codec::ByteBlock& find_blob(const Blobs& blobs, const std::string& name) {
  const auto found = blobs.find(name);
  QN_REQUIRE(found != blobs.end(), ErrorKind::kFormat, "the file has no ", name);
  return found->second;
}

const text::Tokenizer& read_tokenizer(const codec::ByteBlock& blob) {
  const std::string name(reinterpret_cast<const char*>(blob.bytes.data()), blob.bytes.size());
  const std::vector<std::string> known = text::tokenizer_names();
  QN_REQUIRE(std::find(known.begin(), known.end(), name) != known.end(), ErrorKind::kFormat,
             "unknown tokenizer '", name, "', expected one of ", join(known, ", "));
  return text::find_tokenizer(name);
}

/// What the file remembers of the training task: history, key "task".
std::map<std::string, std::string> read_task_options(const std::string& history_json) {
  const auto history = nlohmann::json::parse(std::string_view(history_json), nullptr, false);
  std::map<std::string, std::string> options;
  if (!history.is_object() || !history.contains("task") || !history["task"].is_object()) return options;
  for (const auto& [name, value] : history["task"].items()) {
    if (!value.is_primitive()) continue;
    std::string key = name;
    std::replace(key.begin(), key.end(), '_', '-');
    options.emplace(key, value.is_string() ? value.get<std::string>() : value.dump());
  }
  return options;
}

architecture::TransformerLmOptions read_options(const std::string& json) {
  try {
    return architecture::checked_options(architecture::transformer_lm_options_from_json(json));
  } catch (const Error& error) {
    // What is wrong comes from the file, not from the command line.
    throw Error(ErrorKind::kFormat, error.what(), error.hint());
  }
}

void build(const pack::ModelFile& file, LanguageModel::State& state) {
  QN_REQUIRE(file.architecture == "transformer_lm", ErrorKind::kUnsupported,
             "the file holds a model of the family '", file.architecture,
             "', the runtime knows transformer_lm");
  state.architecture = file.architecture;
  state.blobs = {find_blob(file.blobs, "dictionary")};
  state.dictionary = text::DictionaryView::open(state.blobs[0].bytes, "the file");
  state.tokenizer = &read_tokenizer(find_blob(file.blobs, "tokenizer"));
  state.task_options = read_task_options(file.history_json);
  state.options = read_options(file.options_json);
  QN_REQUIRE(state.options.vocab_size == state.dictionary.size(), ErrorKind::kFormat, "the dictionary has ",
             state.dictionary.size(), " entries, the model's embedding ", state.options.vocab_size);
  Plan plan(file);
  state.decoder.emplace(state.options, plan);
  state.layers = plan.finish();
}

}  // namespace

LanguageModel::LanguageModel(std::unique_ptr<State> state) : state_(std::move(state)) {}
LanguageModel::~LanguageModel() = default;

std::shared_ptr<const LanguageModel> LanguageModel::open(const std::string& path) {
  return from_file(pack::read_model_file(path), path);
}

std::shared_ptr<const LanguageModel> LanguageModel::from_file(pack::ModelFile file, const std::string& name) {
  auto state = std::make_unique<State>();
  state->name = name;
  kernels::lookup_kernels();  // a QN_CPU that cannot be is no fault of the file
  try {
    build(file, *state);
  } catch (Error& error) {
    throw error.in(name);
  }
  state->file_bytes = file.num_bytes;
  return std::shared_ptr<const LanguageModel>(new LanguageModel(std::move(state)));
}

const std::string& LanguageModel::name() const { return state_->name; }
const std::string& LanguageModel::architecture() const { return state_->architecture; }
const text::DictionaryView& LanguageModel::dictionary() const { return state_->dictionary; }
const text::Tokenizer& LanguageModel::tokenizer() const { return *state_->tokenizer; }
int64_t LanguageModel::vocab_size() const { return state_->options.vocab_size; }
int64_t LanguageModel::max_positions() const { return state_->options.max_target_positions; }
const std::vector<LayerReport>& LanguageModel::layers() const { return state_->layers; }
const std::map<std::string, std::string>& LanguageModel::task_options() const { return state_->task_options; }

MemoryReport LanguageModel::memory() const {
  MemoryReport report;
  report.file = state_->file_bytes;
  for (const LayerReport& layer : state_->layers) report.weights += layer.owned_bytes;
  return report;
}

}  // namespace quantnoise::runtime
