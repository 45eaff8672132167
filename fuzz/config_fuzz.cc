// The strict readers of YAML: recipes ('r') and quantization configurations (any other first byte), which
// then answer for some layers.

#include <algorithm>
#include <string>

#include "fuzz_target.h"
#include "quantnoise/config/yaml.h"

namespace quantnoise {
namespace {

using fuzz::require;

void read_recipe(const std::string& text) {
  int last_line = 0;
  for (const config::RecipeEntry& entry : config::parse_recipe(text, "input")) {
    require(entry.line >= 1 && entry.column >= 1, "an entry without a place");
    require(entry.line >= last_line, "entries out of order");
    require(entry.name.find('_') == std::string::npos, "a name that is not canonical");
    last_line = entry.line;
  }
}

void require_parameters(const config::LayerParameters& parameters, int most) {
  for (const auto& [type, parameter] : parameters) {
    require(!parameter.key.empty() && !parameter.values.empty(), "a parameter without key or values");
    for (const auto& [name, value] : parameter.values)
      require(value >= 1 && value <= most, "a value out of range");
    for (const char* layer : {"decoder.layers.0.fc1", "decoder.embed_tokens", ""}) {
      try {
        config::lookup(parameters, type, layer, {{"in_features", "512"}, {"kernel_size", "(3, 3)"}});
      } catch (const Error& error) {
        fuzz::require_honest(error);
      }
    }
  }
}

void read_quantization(const std::string& text) {
  const config::QuantizationConfig config = config::parse_quantization_config(text, "input");
  require(!config.layers_to_quantize.empty(), "no stages");
  for (const std::string& stage : config.layers_to_quantize)
    require(!stage.empty(), "a stage without a pattern");
  require_parameters(config.n_centroids, 65536);
  require_parameters(config.block_sizes, 65536);
}

}  // namespace
}  // namespace quantnoise

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  try {
    if (data[0] == 'r') {
      quantnoise::read_recipe(rest);
    } else {
      quantnoise::read_quantization(rest);
    }
  } catch (const quantnoise::Error& error) {
    quantnoise::fuzz::require_honest(error);
    quantnoise::fuzz::require(error.kind() == quantnoise::ErrorKind::kConfig,
                              "bad text is an error of the configuration");
  }
  return 0;
}
