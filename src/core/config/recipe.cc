#include <map>

#include "core/config/yaml_node.h"
#include "quantnoise/base/file.h"
#include "quantnoise/config/yaml.h"

namespace quantnoise::config {

namespace {

// The items of a list joined by commas: the form in which a list is written on the command line.
std::string value_text(const YamlFile& file, const YAML::Node& value, const std::string& name) {
  if (!value.IsSequence()) return file.scalar(value, name);
  std::vector<std::string> items;
  for (const YAML::Node& item : value) {
    items.push_back(file.scalar(item, str_cat("item of ", name)));
    if (items.back().find(',') != std::string::npos) {
      file.fail(item,
                str_cat("item of ", name, ": found a comma in '", items.back(), "', expected single values"));
    }
  }
  if (items.empty()) file.fail(value, str_cat(name, ": found an empty list, expected at least one item"));
  return join(items, ",");
}

}  // namespace

std::vector<RecipeEntry> parse_recipe(const std::string& text, const std::string& path) {
  const YamlFile file(text, path);
  std::vector<RecipeEntry> recipe;
  if (!file.root().IsDefined() || file.root().IsNull()) return recipe;
  std::map<std::string, int> line_of;
  for (const auto& [key, value] : file.entries(file.root(), "the recipe")) {
    RecipeEntry entry;
    entry.name = canonical_name(key.Scalar());
    entry.line = key.Mark().line + 1;
    entry.column = key.Mark().column + 1;
    // "lr" and "--lr" are different YAML keys but one option.
    const auto [first, is_new] = line_of.emplace(entry.name, entry.line);
    if (!is_new)
      file.fail(key, str_cat("option --", entry.name, " was already given in line ", first->second));
    // The value itself has no place of its own: yaml-cpp puts it where the next line begins.
    if (value.IsNull()) file.fail(key, str_cat("option --", entry.name, ": has no value"));
    entry.text = value_text(file, value, str_cat("option --", entry.name));
    recipe.push_back(std::move(entry));
  }
  return recipe;
}

std::vector<RecipeEntry> load_recipe(const std::string& path) {
  return parse_recipe(base::read_text_file(path), path);
}

void apply_recipe(const std::string& path, OptionValues& values) {
  for (const RecipeEntry& entry : load_recipe(path)) {
    try {
      values.set(entry.name, entry.text, OptionSource::kRecipe);
    } catch (Error& error) {
      throw error.in(str_cat(path, ":", entry.line, ":", entry.column));
    }
  }
}

}  // namespace quantnoise::config
