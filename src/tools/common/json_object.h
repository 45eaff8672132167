#pragma once
// JSON objects of a fixed form, put together in one place: nlohmann's own lists are large code wherever one
// stands.

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <variant>

namespace quantnoise::tool {

/// A name and a value; refers to texts and to other JSON.
class JsonField {
 public:
  JsonField(const char* name, std::string_view value) : name_(name), value_(value) {}
  JsonField(const char* name, const std::string& value) : JsonField(name, std::string_view(value)) {}
  JsonField(const char* name, const char* value) : JsonField(name, std::string_view(value)) {}
  JsonField(const char* name, bool value) : name_(name), value_(value) {}
  JsonField(const char* name, std::integral auto value) : name_(name), value_(static_cast<int64_t>(value)) {}
  JsonField(const char* name, double value) : name_(name), value_(value) {}
  JsonField(const char* name, const nlohmann::json& value) : name_(name), value_(&value) {}

  void add_to(nlohmann::json& object) const;

 private:
  const char* name_;
  std::variant<std::string_view, bool, int64_t, double, const nlohmann::json*> value_;
};

nlohmann::json json_object(std::initializer_list<JsonField> fields);

/// indent: blanks a level; -1: one line. What is not UTF-8 is replaced.
std::string json_text(const nlohmann::json& value, int indent = -1);

}  // namespace quantnoise::tool
