#pragma once
// The strict layer over yaml-cpp that both kinds of configuration files go through.

#include <yaml-cpp/yaml.h>

#include <string>
#include <utility>
#include <vector>

#include "quantnoise/base/error.h"

namespace quantnoise::config {

/// A document and the name of its file for messages.
class YamlFile {
 public:
  /// Errors: kConfig with file:line:column for text that is not one YAML document.
  YamlFile(const std::string& text, std::string path);

  /// Null when the file holds nothing but comments.
  const YAML::Node& root() const { return root_; }

  /// Throws kConfig with the place of the node.
  [[noreturn]] void fail(const YAML::Node& node, const std::string& message,
                         const std::string& hint = "") const;
  /// "recipe.yaml:3:1".
  std::string place(const YAML::Node& node) const;

  /// Key, value pairs in file order. Errors: not a map; a key that is not text; a key that occurs twice.
  std::vector<std::pair<YAML::Node, YAML::Node>> entries(const YAML::Node& map,
                                                         const std::string& what) const;
  /// Text of a scalar. Errors: not a scalar, or empty without quotes.
  std::string scalar(const YAML::Node& node, const std::string& what) const;
  /// A whole number in [min, max].
  int integer(const YAML::Node& node, const std::string& what, int min, int max) const;
  /// Throws kConfig for a key that is none of `known`, with the nearest.
  void check_known(const YAML::Node& key, const std::vector<std::string>& known,
                   const std::string& what) const;

 private:
  std::string path_;
  YAML::Node root_;
};

}  // namespace quantnoise::config
