#pragma once
// The strict YAML reader: duplicate keys, unknown keys and wrong types are errors with line and column.

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "quantnoise/config/options.h"

namespace quantnoise::config {

/// One line of a recipe file. Line and column count from 1.
struct RecipeEntry {
  std::string name;  ///< canonical
  std::string text;  ///< of a list: its items joined by commas
  int line = 0;
  int column = 0;
};

/// A recipe: a flat map of option names to values, in file order. Errors: kIo; kConfig with file:line:column.
std::vector<RecipeEntry> load_recipe(const std::string& path);
/// The same from text; `path` names it in messages.
std::vector<RecipeEntry> parse_recipe(const std::string& text, const std::string& path);

/// Sets the options of a recipe file with the rank kRecipe. Errors carry file:line:column.
void apply_recipe(const std::string& path, OptionValues& values);

/// A parameter that depends on the layer: on one of its attributes, or on its name when key is "fuzzy_name".
struct LayerParameter {
  std::string key;                                  ///< "in_features", "kernel_size" …, or "fuzzy_name"
  std::vector<std::pair<std::string, int>> values;  ///< in file order; "*" is the fallback
};

/// Layer type ("Linear", "Embedding", "Conv2d") → parameter.
using LayerParameters = std::map<std::string, LayerParameter>;

/// A product quantization, with the keys of fairseq's configuration files.
struct QuantizationConfig {
  LayerParameters n_centroids;
  LayerParameters block_sizes;
  std::vector<std::string> layers_to_quantize;  ///< one regular expression a stage
};

/// fairseq's built-in configuration; also fills the sections a file leaves out.
QuantizationConfig default_quantization_config();

/// Errors: kIo; kConfig with file:line:column.
QuantizationConfig load_quantization_config(const std::string& path);
QuantizationConfig parse_quantization_config(const std::string& text, const std::string& path);

/// The value for a layer, as fairseq's get_param: of the attribute named by `key`; with "fuzzy_name" of the
/// first entry whose name is part of the layer's; else of "*". attributes: as Python prints them, "1024",
/// "(3, 3)" (spaces do not count). Errors: kConfig naming the layer when nothing fits.
int lookup(const LayerParameter& parameter, const std::string& layer_name,
           const std::map<std::string, std::string>& attributes);

/// The same, from the section of the layer's type. Errors: kConfig naming the layer when the type has no
/// section.
int lookup(const LayerParameters& parameters, const std::string& layer_type, const std::string& layer_name,
           const std::map<std::string, std::string>& attributes);

}  // namespace quantnoise::config
