#pragma once
// JSON from untrusted bytes: strict parsing, and access that says what was found and what was expected.

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "quantnoise/base/error.h"

namespace quantnoise::pack {

/// Errors: kFormat naming `what` for anything but one UTF-8 JSON object without duplicate keys, nested at
/// most max_depth deep.
nlohmann::json parse_json_object(std::string_view text, int max_depth, const std::string& what);

/// Errors: kInternal for strings that are not UTF-8.
std::string dump_json(const nlohmann::json& value);

/// A view of a JSON object; `place` names it in messages.
class JsonObject {
 public:
  /// Errors: kFormat when value is not an object.
  JsonObject(const nlohmann::json& value, std::string place);

  const std::string& place() const { return place_; }
  const nlohmann::json& value() const { return *value_; }
  bool has(std::string_view key) const { return value_->contains(key); }

  // Errors of all getters: kFormat for a missing key, another type or a number out of range.
  int64_t integer(std::string_view key, int64_t min, int64_t max) const;
  double number(std::string_view key) const;
  std::string text(std::string_view key) const;
  /// A list of at most max_length whole numbers, none negative.
  std::vector<int64_t> integers(std::string_view key, size_t max_length) const;
  JsonObject object(std::string_view key) const;

  /// Errors: kFormat for a key that is not among `keys`.
  void allow_only(std::initializer_list<std::string_view> keys) const;

 private:
  const nlohmann::json& member(std::string_view key) const;
  [[noreturn]] void fail(std::string_view key, const nlohmann::json& found,
                         const std::string& expected) const;

  const nlohmann::json* value_;
  std::string place_;
};

}  // namespace quantnoise::pack
