#include "core/pack/json_text.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

namespace quantnoise::pack {

namespace {

using nlohmann::json;

// The parser keeps the last of two equal keys without a word: readers that disagree on which one counts are a
// way to smuggle.
class StrictCallback {
 public:
  StrictCallback(int max_depth, const std::string& what) : max_depth_(max_depth), what_(what) {}

  bool operator()(int depth, json::parse_event_t event, json& parsed) {
    switch (event) {
      case json::parse_event_t::object_start:
      case json::parse_event_t::array_start:
        QN_REQUIRE(depth < max_depth_, ErrorKind::kFormat, what_, ": nested deeper than ", max_depth_,
                   " levels");
        if (event == json::parse_event_t::object_start) keys_.emplace_back();
        break;
      case json::parse_event_t::object_end:
        keys_.pop_back();
        break;
      case json::parse_event_t::key: {
        const auto& key = parsed.get_ref<const std::string&>();
        QN_REQUIRE(keys_.back().insert(key).second, ErrorKind::kFormat, what_, ": duplicate key '", key, "'");
        break;
      }
      default:
        break;
    }
    return true;
  }

 private:
  int max_depth_;
  const std::string& what_;
  std::vector<std::set<std::string>> keys_;
};

// "[json.exception.parse_error.101] parse error at …" without the part in brackets.
std::string reason(const json::exception& error) {
  const std::string text = error.what();
  const size_t end = text.find("] ");
  return end == std::string::npos ? text : text.substr(end + 2);
}

constexpr size_t kShownCharacters = 60;

std::string shown(const json& value) {
  if (value.is_structured()) return str_cat("an ", value.type_name());
  std::string text = value.dump(-1, ' ', true, json::error_handler_t::replace);
  if (text.size() > kShownCharacters) text = text.substr(0, kShownCharacters) + "…";
  return text;
}

bool fits_int64(const json& value) {
  if (value.is_number_unsigned()) {
    return value.get<uint64_t>() <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  }
  return value.is_number_integer();
}

}  // namespace

nlohmann::json parse_json_object(std::string_view text, int max_depth, const std::string& what) {
  try {
    // std::function copies a callback: the state lives here.
    StrictCallback strict(max_depth, what);
    const auto callback = [&strict](int depth, json::parse_event_t event, json& parsed) {
      return strict(depth, event, parsed);
    };
    json value = json::parse(text, callback);
    QN_REQUIRE(value.is_object(), ErrorKind::kFormat, what, ": found ", shown(value),
               ", expected a JSON object");
    return value;
  } catch (const json::exception& error) {
    throw Error(ErrorKind::kFormat, str_cat(what, " is not valid JSON: ", reason(error)));
  }
}

std::string dump_json(const json& value) {
  try {
    return value.dump();
  } catch (const json::exception& error) {
    throw Error(ErrorKind::kInternal, str_cat("cannot write JSON: ", reason(error)));
  }
}

JsonObject::JsonObject(const nlohmann::json& value, std::string place)
    : value_(&value), place_(std::move(place)) {
  QN_REQUIRE(value.is_object(), ErrorKind::kFormat, place_, ": found ", shown(value),
             ", expected a JSON object");
}

const nlohmann::json& JsonObject::member(std::string_view key) const {
  const auto found = value_->find(key);
  QN_REQUIRE(found != value_->end(), ErrorKind::kFormat, place_, ": '", key, "' is missing");
  return *found;
}

void JsonObject::fail(std::string_view key, const nlohmann::json& found, const std::string& expected) const {
  throw Error(ErrorKind::kFormat,
              str_cat(place_, ": ", key, ": found ", shown(found), ", expected ", expected));
}

int64_t JsonObject::integer(std::string_view key, int64_t min, int64_t max) const {
  const nlohmann::json& value = member(key);
  const bool good = fits_int64(value) && value.get<int64_t>() >= min && value.get<int64_t>() <= max;
  if (!good) fail(key, value, str_cat("a whole number from ", min, " to ", max));
  return value.get<int64_t>();
}

double JsonObject::number(std::string_view key) const {
  const nlohmann::json& value = member(key);
  if (!value.is_number() || !std::isfinite(value.get<double>())) fail(key, value, "a number");
  return value.get<double>();
}

std::string JsonObject::text(std::string_view key) const {
  const nlohmann::json& value = member(key);
  if (!value.is_string()) fail(key, value, "a string");
  return value.get<std::string>();
}

std::vector<int64_t> JsonObject::integers(std::string_view key, size_t max_length) const {
  const nlohmann::json& value = member(key);
  const auto good = [](const nlohmann::json& item) { return fits_int64(item) && item.get<int64_t>() >= 0; };
  if (!value.is_array() || value.size() > max_length || !std::all_of(value.begin(), value.end(), good)) {
    fail(key, value, str_cat("a list of at most ", max_length, " whole numbers, none negative"));
  }
  return value.get<std::vector<int64_t>>();
}

JsonObject JsonObject::object(std::string_view key) const {
  return {member(key), str_cat(place_, ", ", key)};
}

void JsonObject::allow_only(std::initializer_list<std::string_view> keys) const {
  for (const auto& [key, value] : value_->items()) {
    QN_REQUIRE(std::find(keys.begin(), keys.end(), key) != keys.end(), ErrorKind::kFormat, place_,
               ": unknown key '", key, "'");
  }
}

}  // namespace quantnoise::pack
