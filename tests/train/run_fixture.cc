#include "run_fixture.h"

#include <sstream>

#include "quantnoise/base/error.h"
#include "quantnoise/base/file.h"
#include "quantnoise/base/random.h"
#include "quantnoise/config/yaml.h"
#include "quantnoise/pack/model_file.h"
#include "quantnoise/text/preprocess.h"
#include "quantnoise/train/options.h"
#include "quantnoise/train/run.h"

namespace quantnoise::test {
namespace {

/// Every word is followed by one of two words: about one bit a word for who has learned it.
std::string make_text(int sentences, const std::string& seed_name) {
  constexpr int kWords = 36;
  base::SequentialRandom random(1, seed_name);
  std::ostringstream text;
  for (int i = 0; i < sentences; ++i) {
    uint64_t word = random.below(kWords);
    const uint64_t length = 5 + random.below(6);
    for (uint64_t j = 0; j < length; ++j) {
      text << "w" << word << (j + 1 < length ? " " : "\n");
      word = (word * 5 + 7 + random.below(2)) % kWords;
    }
  }
  return text.str();
}

const Options& base_options() {
  static const Options options = {{"arch", "transformer_lm"},
                                  {"decoder-embed-dim", "32"},
                                  {"decoder-ffn-embed-dim", "64"},
                                  {"decoder-layers", "2"},
                                  {"decoder-attention-heads", "2"},
                                  {"share-decoder-input-output-embed", "true"},
                                  {"decoder-normalize-before", "true"},
                                  {"dropout", "0.1"},
                                  {"attention-dropout", "0.1"},
                                  {"optimizer", "adamw"},
                                  {"lr", "0.01"},
                                  {"clip-norm", "1.0"},
                                  {"tokens-per-sample", "16"},
                                  {"max-tokens", "128"},
                                  {"max-update", "12"},
                                  {"log-format", "json"},
                                  {"log-interval", "10"},
                                  {"no-epoch-checkpoints", "true"},
                                  {"threads", "1"}};
  return options;
}

std::vector<nlohmann::json> parse_lines(const std::vector<std::string>& lines) {
  std::vector<nlohmann::json> objects;
  for (const std::string& line : lines) {
    nlohmann::json object = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!object.is_object()) object = {{"event", "line"}, {"text", line}};
    objects.push_back(std::move(object));
  }
  return objects;
}

struct Lines {
  std::vector<std::string> results;
  std::vector<std::string> messages;
  std::vector<std::string> status;
  train::Output output(bool on_terminal = false) {
    train::Output output;
    output.result = [this](const std::string& line) { results.push_back(line); };
    output.message = [this](const std::string& line) { messages.push_back(line); };
    if (on_terminal) output.status = [this](const std::string& line) { status.push_back(line); };
    return output;
  }
};

struct Killed {};

std::string bytes_text(std::span<const std::byte> bytes) {
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

}  // namespace

const Options& adaptive_options() {
  static const Options options = {{"share-decoder-input-output-embed", "false"},
                                  {"adaptive-input", "true"},
                                  {"adaptive-input-cutoff", "8,20"},
                                  {"adaptive-input-factor", "2"},
                                  {"adaptive-softmax-cutoff", "8,20"},
                                  {"adaptive-softmax-factor", "2"},
                                  {"tie-adaptive-weights", "true"},
                                  {"tie-adaptive-proj", "true"},
                                  {"criterion", "adaptive_loss"}};
  return options;
}

Options with(Options options, const Options& changes) {
  for (const auto& [name, value] : changes) options[name] = value;
  return options;
}

std::vector<nlohmann::json> RunResult::events(const std::string& name) const {
  std::vector<nlohmann::json> found;
  for (const auto* list : {&results, &messages}) {
    for (const nlohmann::json& event : *list) {
      if (event.at("event") == name) found.push_back(event);
    }
  }
  return found;
}

std::string RunResult::text() const {
  std::string text;
  for (const nlohmann::json& event : messages) {
    if (event.contains("text")) text += event.at("text").get<std::string>() + "\n";
  }
  return text;
}

RunFixture::RunFixture() {
  base::write_text_file(path("train.txt"), make_text(400, "train"));
  base::write_text_file(path("valid.txt"), make_text(60, "valid"));
  text::PreprocessOptions options;
  options.trainpref = path("train.txt");
  options.validpref = path("valid.txt");
  options.destdir = data();
  text::preprocess(options);
}

RunResult RunFixture::train(const std::string& save_dir, const Options& changes,
                            const StopRequest& stop) const {
  return run_with("", save_dir, with(base_options(), changes), stop);
}

RunResult RunFixture::train_on_terminal(const std::string& save_dir, const Options& changes) const {
  return run_with("", save_dir, with(base_options(), changes), {}, /*on_terminal=*/true);
}

RunResult RunFixture::train_recipe(const std::string& recipe, const std::string& save_dir,
                                   const Options& changes) const {
  Options options = changes;
  options.emplace("log-format", "json");
  return run_with(recipe, save_dir, options, {});
}

RunResult RunFixture::run_with(const std::string& recipe, const std::string& save_dir, Options options,
                               const StopRequest& stop, bool on_terminal) const {
  config::OptionTable table;
  train::declare_train_options(table);
  config::OptionValues values(table);
  if (!recipe.empty()) config::apply_recipe(recipe, values);
  options.emplace("data", data());
  options.emplace("save-dir", path(save_dir));
  for (const auto& [name, value] : options) {
    if (value != "(unset)") values.set(name, value, config::OptionSource::kCommandLine);
  }
  Lines lines;
  int calls = 0;
  RunResult result;
  result.exit_code =
      train::run_training(values, lines.output(on_terminal), [&] { return stop && stop(++calls); });
  result.results = parse_lines(lines.results);
  result.messages = parse_lines(lines.messages);
  result.status = lines.status;
  return result;
}

void RunFixture::train_until_killed(const std::string& save_dir, const Options& changes, int updates) const {
  try {
    // Asked before anything of this update is saved at a stop request's behest, so throwing loses what is not
    // on disk.
    train(save_dir, changes, [updates](int calls) -> bool {
      if (calls == updates) throw Killed();
      return false;
    });
  } catch (const Killed&) {
  }
}

std::string RunFixture::error_of(const std::string& save_dir, const Options& changes) const {
  try {
    train(save_dir, changes);
  } catch (const Error& error) {
    return str_cat(static_cast<int>(error.kind()), ": ", error.what(), "; ", error.hint());
  }
  return "no error";
}

RunResult RunFixture::quantize(const Options& options) const {
  config::OptionTable table;
  train::declare_quantize_options(table);
  config::OptionValues values(table);
  values.set("log-format", "json", config::OptionSource::kCommandLine);
  for (const auto& [name, value] : options) values.set(name, value, config::OptionSource::kCommandLine);
  Lines lines;
  RunResult result;
  result.exit_code = train::run_quantize(values, lines.output());
  result.results = parse_lines(lines.results);
  result.messages = parse_lines(lines.messages);
  return result;
}

std::string RunFixture::quantization_config(int num_centroids) const {
  const std::string count = std::to_string(num_centroids);
  base::write_text_file(path("ipq.yaml"), R"(n_centroids:
  Linear: {key: in_features, value: {"*": )" + count +
                                              R"(}}
  Embedding: {key: embedding_dim, value: {"*": )" +
                                              count + R"(}}
block_sizes:
  Linear: {key: fuzzy_name, value: {fc: 8, attn: 4}}
  Embedding: {key: fuzzy_name, value: {emb: 8}}
layers_to_quantize:
  - decoder\.layers\.\d+\.fc[12]
  - decoder\.embed_tokens
  - decoder\.layers\.\d+\.self_attn\.(k_proj|v_proj|q_proj|out_proj)
)");
  return path("ipq.yaml");
}

std::string RunFixture::model_bytes(const std::string& save_dir) const {
  return base::read_text_file(path(save_dir + "/model.qn"));
}

std::map<std::string, std::string> RunFixture::weights(const std::string& model_path) {
  std::map<std::string, std::string> bytes;
  const pack::ModelFile file = pack::read_model_file(model_path);
  for (const auto& [name, weight] : file.weights) {
    bytes[name] = bytes_text(weight.dense.bytes) + bytes_text(weight.codes.bytes) +
                  bytes_text(weight.centroids.bytes) + bytes_text(std::as_bytes(std::span(weight.scales))) +
                  bytes_text(std::as_bytes(std::span(weight.zero_points)));
  }
  for (const auto& [name, tensor] : file.tensors) bytes[name] = bytes_text(tensor.data.bytes);
  return bytes;
}

std::vector<std::string> train_option_names() {
  config::OptionTable table;
  train::declare_train_options(table);
  std::vector<std::string> names;
  for (const config::OptionSpec& spec : table.specs()) {
    if (!spec.no_effect) names.push_back(spec.name);
  }
  return names;
}

}  // namespace quantnoise::test
