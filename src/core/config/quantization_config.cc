#include <algorithm>
#include <regex>

#include "core/config/yaml_node.h"
#include "quantnoise/base/file.h"
#include "quantnoise/config/yaml.h"

namespace quantnoise::config {

namespace {

constexpr int kMaxCentroids = 65536;
constexpr int kMaxBlockSize = 65536;
// std::regex goes one call deeper for every open bracket.
constexpr size_t kMaxPattern = 1000;
// It reads numbers (of groups, of repetitions) without looking whether they fit.
constexpr int kMaxDigits = 9;

const std::vector<std::string>& layer_types() {
  static const std::vector<std::string> kTypes = {"Linear", "Embedding", "Conv2d"};
  return kTypes;
}

LayerParameter parse_parameter(const YamlFile& file, const YAML::Node& node, const std::string& what,
                               int max) {
  LayerParameter parameter;
  bool has_value = false;
  for (const auto& [key, value] : file.entries(node, what)) {
    file.check_known(key, {"key", "value"}, what);
    if (key.Scalar() == "key") {
      parameter.key = file.scalar(value, str_cat("key of ", what));
      continue;
    }
    has_value = true;
    for (const auto& [name, number] : file.entries(value, str_cat("value of ", what))) {
      parameter.values.emplace_back(name.Scalar(),
                                    file.integer(number, str_cat(what, ", ", name.Scalar()), 1, max));
    }
    if (parameter.values.empty()) file.fail(value, str_cat("value of ", what, ": found an empty map"));
  }
  if (parameter.key.empty()) file.fail(node, str_cat(what, ": 'key' is missing"));
  if (!has_value) file.fail(node, str_cat(what, ": 'value' is missing"));
  return parameter;
}

LayerParameters parse_section(const YamlFile& file, const YAML::Node& node, const std::string& section,
                              int max) {
  LayerParameters parameters;
  for (const auto& [type, parameter] : file.entries(node, section)) {
    file.check_known(type, layer_types(), section);
    parameters[type.Scalar()] = parse_parameter(file, parameter, str_cat(section, ".", type.Scalar()), max);
  }
  if (parameters.empty()) file.fail(node, str_cat(section, ": found no layer type"));
  return parameters;
}

int longest_number(const std::string& pattern) {
  int longest = 0, digits = 0;
  for (const char c : pattern) {
    digits = c >= '0' && c <= '9' ? digits + 1 : 0;
    longest = std::max(longest, digits);
  }
  return longest;
}

std::vector<std::string> parse_stages(const YamlFile& file, const YAML::Node& node) {
  const std::string what = "layers_to_quantize";
  if (!node.IsSequence())
    file.fail(node, str_cat(what, ": expected a list of regular expressions, one a stage"));
  std::vector<std::string> stages;
  for (const YAML::Node& item : node) {
    stages.push_back(file.scalar(item, str_cat("item of ", what)));
    const size_t length = stages.back().size();
    if (length == 0) file.fail(item, str_cat(what, ": found an empty regular expression"));
    if (length > kMaxPattern) {
      file.fail(item, str_cat(what, ": found a regular expression of ", length,
                              " characters, expected at most ", kMaxPattern));
    }
    const int digits = longest_number(stages.back());
    if (digits > kMaxDigits) {
      file.fail(item, str_cat(what, ": '", stages.back(), "': found a number of ", digits,
                              " digits, expected at most ", kMaxDigits));
    }
    try {
      const std::regex compiled(stages.back(), std::regex::ECMAScript);
    } catch (const std::regex_error& error) {
      file.fail(item, str_cat(what, ": '", stages.back(), "' is not a regular expression: ", error.what()));
    }
  }
  if (stages.empty()) file.fail(node, str_cat(what, ": found no stage"));
  return stages;
}

// "(3, 3)" and "(3,3)" are the same attribute.
std::string without_spaces(std::string text) {
  text.erase(std::remove(text.begin(), text.end(), ' '), text.end());
  return text;
}

}  // namespace

QuantizationConfig default_quantization_config() {
  QuantizationConfig config;
  config.n_centroids = {{"Linear", {"in_features", {{"*", 256}}}},
                        {"Embedding", {"embedding_dim", {{"*", 256}}}}};
  config.block_sizes = {{"Linear", {"fuzzy_name", {{"fc", 8}, {"attn", 4}, {"emb", 4}}}},
                        {"Embedding", {"fuzzy_name", {{"emb", 8}}}}};
  config.layers_to_quantize = {R"(decoder\.layers\.\d+\.fc[12])",
                               R"(decoder\.embed_tokens\.embeddings\.[012]\.[01])",
                               R"(decoder\.layers\.\d+\.self_attn\.(k_proj|v_proj|q_proj|out_proj))"};
  return config;
}

QuantizationConfig parse_quantization_config(const std::string& text, const std::string& path) {
  const YamlFile file(text, path);
  QN_REQUIRE(file.root().IsDefined() && !file.root().IsNull(), ErrorKind::kConfig, path,
             ": the file is empty, expected n_centroids, block_sizes or layers_to_quantize");
  QuantizationConfig config = default_quantization_config();
  const std::string what = "the quantization configuration";
  for (const auto& [key, value] : file.entries(file.root(), what)) {
    file.check_known(key, {"n_centroids", "block_sizes", "layers_to_quantize"}, what);
    const std::string& section = key.Scalar();
    if (section == "n_centroids") config.n_centroids = parse_section(file, value, section, kMaxCentroids);
    if (section == "block_sizes") config.block_sizes = parse_section(file, value, section, kMaxBlockSize);
    if (section == "layers_to_quantize") config.layers_to_quantize = parse_stages(file, value);
  }
  return config;
}

QuantizationConfig load_quantization_config(const std::string& path) {
  return parse_quantization_config(base::read_text_file(path), path);
}

int lookup(const LayerParameter& parameter, const std::string& layer_name,
           const std::map<std::string, std::string>& attributes) {
  std::string found = str_cat("name '", layer_name, "'");
  const bool by_name = parameter.key == "fuzzy_name";
  std::string attribute;
  if (!by_name) {
    const auto known = attributes.find(parameter.key);
    QN_REQUIRE(known != attributes.end(), ErrorKind::kConfig, "layer ", layer_name, " has no attribute '",
               parameter.key, "'");
    attribute = without_spaces(known->second);
    found = str_cat(parameter.key, " ", known->second);
  }
  for (const auto& [name, value] : parameter.values) {
    const bool fits =
        by_name ? layer_name.find(name) != std::string::npos : without_spaces(name) == attribute;
    if (fits) return value;
  }
  std::vector<std::string> names;
  for (const auto& [name, value] : parameter.values) {
    if (name == "*") return value;
    names.push_back(name);
  }
  throw Error(ErrorKind::kConfig,
              str_cat("layer ", layer_name, ": no entry fits its ", found, ", found ", join(names, ", ")),
              "add an entry for it, or \"*\" for all others");
}

int lookup(const LayerParameters& parameters, const std::string& layer_type, const std::string& layer_name,
           const std::map<std::string, std::string>& attributes) {
  const auto parameter = parameters.find(layer_type);
  QN_REQUIRE(parameter != parameters.end(), ErrorKind::kConfig, "layer ", layer_name,
             ": the configuration has no entry for layers of type ", layer_type);
  return lookup(parameter->second, layer_name, attributes);
}

}  // namespace quantnoise::config
