#include "core/config/yaml_node.h"

#include <yaml-cpp/eventhandler.h>

#include <charconv>
#include <set>
#include <sstream>

namespace quantnoise::config {

namespace {

// A configuration is written by hand; anything larger is another file given by mistake.
constexpr size_t kMaxBytes = size_t{1} << 20;

const char* type_name(const YAML::Node& node) {
  switch (node.Type()) {
    case YAML::NodeType::Scalar:
      return "a value";
    case YAML::NodeType::Sequence:
      return "a list";
    case YAML::NodeType::Map:
      return "a map";
    default:
      return "nothing";
  }
}

class NoEvents : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {
  }
  void OnMapEnd() override {}
};

// YAML::LoadAll never ends where the parser finds documents without going on, as in ",".
void require_one_document(const std::string& text, const std::string& path) {
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  NoEvents events;
  if (!parser.HandleNextDocument(events)) return;
  QN_REQUIRE(!parser.HandleNextDocument(events), ErrorKind::kConfig, path,
             ": found more than one YAML document, expected one");
}

}  // namespace

YamlFile::YamlFile(const std::string& text, std::string path) : path_(std::move(path)) {
  QN_REQUIRE(text.size() <= kMaxBytes, ErrorKind::kConfig, path_, ": found ", text.size(),
             " bytes, expected a configuration of at most ", kMaxBytes);
  QN_REQUIRE(text.find('\0') == std::string::npos, ErrorKind::kConfig, path_,
             ": found binary data, expected YAML text");
  try {
    require_one_document(text, path_);
    root_ = YAML::Load(text);
  } catch (const YAML::Exception& error) {
    const std::string at =
        error.mark.is_null() ? "" : str_cat(":", error.mark.line + 1, ":", error.mark.column + 1);
    throw Error(ErrorKind::kConfig, str_cat(path_, at, ": not valid YAML: ", error.msg));
  }
}

std::string YamlFile::place(const YAML::Node& node) const {
  const YAML::Mark mark = node.Mark();
  return mark.is_null() ? path_ : str_cat(path_, ":", mark.line + 1, ":", mark.column + 1);
}

void YamlFile::fail(const YAML::Node& node, const std::string& message, const std::string& hint) const {
  throw Error(ErrorKind::kConfig, str_cat(place(node), ": ", message), hint);
}

std::vector<std::pair<YAML::Node, YAML::Node>> YamlFile::entries(const YAML::Node& map,
                                                                 const std::string& what) const {
  if (!map.IsMap()) fail(map, str_cat(what, ": found ", type_name(map), ", expected a map"));
  std::vector<std::pair<YAML::Node, YAML::Node>> entries;
  std::set<std::string> seen;
  for (const auto& entry : map) {
    const std::string key = scalar(entry.first, str_cat("key of ", what));
    if (!seen.insert(key).second) fail(entry.first, str_cat("duplicate key '", key, "' in ", what));
    entries.emplace_back(entry.first, entry.second);
  }
  return entries;
}

std::string YamlFile::scalar(const YAML::Node& node, const std::string& what) const {
  if (!node.IsScalar()) fail(node, str_cat(what, ": found ", type_name(node), ", expected one value"));
  // "?" and "!": plain and quoted; anything else was written as a tag (!!python/object …).
  if (node.Tag() != "?" && node.Tag() != "!") {
    fail(node, str_cat(what, ": found the tag '", node.Tag(), "', expected a value without tag"));
  }
  return node.Scalar();
}

int YamlFile::integer(const YAML::Node& node, const std::string& what, int min, int max) const {
  const std::string text = scalar(node, what);
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < min || number > max) {
    fail(node, str_cat(what, ": found '", text, "', expected a whole number from ", min, " to ", max));
  }
  return number;
}

void YamlFile::check_known(const YAML::Node& key, const std::vector<std::string>& known,
                           const std::string& what) const {
  const std::string& name = key.Scalar();
  for (const std::string& candidate : known) {
    if (name == candidate) return;
  }
  const std::vector<std::string> nearest = nearest_names(name, known, 1);
  fail(key, str_cat("unknown key '", name, "' in ", what, ", expected one of ", join(known, ", ")),
       nearest.empty() ? "" : str_cat("did you mean ", nearest.front(), "?"));
}

}  // namespace quantnoise::config
