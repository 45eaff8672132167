#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "quantnoise/base/error.h"
#include "quantnoise/config/options.h"

namespace quantnoise::config {

namespace {

using nlohmann::json;

// Inputs like `no`, `1e3` or `~` mean something to YAML: only words of this alphabet stay without quotes.
bool needs_quotes(const std::string& text) {
  static const std::set<std::string> kWords = {"",     "~",     "null", "Null",  "NULL",
                                               "true", "false", "True", "False", "yes",
                                               "no",   "on",    "off",  "Yes",   "No"};
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '.' || c == '/' || c == '-';
  };
  return kWords.contains(text) || text.front() == '-' || !std::all_of(text.begin(), text.end(), plain);
}

// JSON's escapes are a subset of those of YAML's double quotes.
std::string yaml_text(const OptionSpec& spec, const std::string& text, const OptionValue& value) {
  if (spec.type == OptionType::kBool) return std::get<bool>(value) ? "true" : "false";
  if (spec.type == OptionType::kIntList || spec.type == OptionType::kFloatList) {
    const size_t begin = text.find_first_not_of(" \t([");
    const size_t end = text.find_last_not_of(" \t)],");
    return str_cat("[", text.substr(begin, end - begin + 1), "]");
  }
  return needs_quotes(text) ? json(text).dump(-1, ' ', false, json::error_handler_t::replace) : text;
}

json json_value(const OptionValue& value) {
  return std::visit(
      [](const auto& held) {
        if constexpr (std::is_same_v<std::decay_t<decltype(held)>, std::monostate>) {
          return json();
        } else {
          return json(held);
        }
      },
      value);
}

std::string scalar_text(const json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

// The stored value as a user would write it; lists lose their brackets.
std::string text_of(const std::string& name, const json& value) {
  if (!value.is_array()) {
    QN_REQUIRE(value.is_primitive() && !value.is_null(), ErrorKind::kFormat, "stored option --", name,
               ": found ", value.type_name(), ", expected a value");
    return scalar_text(value);
  }
  std::vector<std::string> items;
  for (const json& item : value) {
    QN_REQUIRE(item.is_number(), ErrorKind::kFormat, "stored option --", name, ": found a list with ",
               item.type_name(), ", expected numbers");
    items.push_back(item.dump());
  }
  return join(items, ",");
}

json parse_options(const std::string& text) {
  const auto shallow = [](int depth, json::parse_event_t, json&) {
    QN_REQUIRE(depth <= 2, ErrorKind::kFormat, "stored options: nested too deep");
    return true;
  };
  try {
    json parsed = json::parse(text, shallow);
    QN_REQUIRE(parsed.is_object(), ErrorKind::kFormat, "stored options: found ", parsed.type_name(),
               ", expected a JSON object");
    return parsed;
  } catch (const json::exception& error) {
    throw Error(ErrorKind::kFormat, str_cat("stored options are not JSON: ", error.what()));
  }
}

}  // namespace

OptionValues::OptionValues(const OptionTable& table) : table_(&table) {
  for (const OptionSpec& spec : table.specs()) {
    Entry entry;
    if (!spec.default_text.empty()) {
      entry.value = parse_value(spec, spec.default_text);
      entry.text = spec.default_text;
    } else if (spec.type == OptionType::kBool) {
      entry.value = false;
      entry.text = "false";
    } else if (spec.type == OptionType::kString) {
      entry.value = std::string();
    }
    entries_.emplace(spec.name, std::move(entry));
  }
}

void OptionValues::set(std::string_view name, const std::string& text, OptionSource source) {
  const OptionSpec& spec = table_->find(name);
  OptionValue value = parse_value(spec, text);
  Entry& entry = entries_.at(spec.name);
  if (source < entry.source) return;
  const bool bare_flag = spec.type == OptionType::kBool && text.empty();
  entry = Entry{std::move(value), bare_flag ? "true" : text, source};
}

const OptionValues::Entry& OptionValues::entry(std::string_view name) const {
  const auto direct = entries_.find(name);
  if (direct != entries_.end()) return direct->second;
  QN_REQUIRE(table_->contains(name), ErrorKind::kInternal, "the program asks for an option --", name,
             " that is not declared");
  return entries_.at(table_->find(name).name);
}

template <typename T>
const T& OptionValues::get(std::string_view name) const {
  const T* value = std::get_if<T>(&entry(name).value);
  QN_REQUIRE(value != nullptr, ErrorKind::kInternal, "the program asks for option --", name,
             ", which has another type or no value");
  return *value;
}

bool OptionValues::get_bool(std::string_view name) const { return get<bool>(name); }

int64_t OptionValues::get_int(std::string_view name) const { return get<int64_t>(name); }

double OptionValues::get_float(std::string_view name) const {
  const OptionValue& value = entry(name).value;
  if (std::holds_alternative<int64_t>(value)) return static_cast<double>(std::get<int64_t>(value));
  return get<double>(name);
}

const std::string& OptionValues::get_string(std::string_view name) const { return get<std::string>(name); }

const std::vector<int64_t>& OptionValues::get_int_list(std::string_view name) const {
  return get<std::vector<int64_t>>(name);
}

const std::vector<double>& OptionValues::get_float_list(std::string_view name) const {
  return get<std::vector<double>>(name);
}

bool OptionValues::has_value(std::string_view name) const { return entry(name).value.index() != 0; }

bool OptionValues::is_explicit(std::string_view name) const { return source(name) >= OptionSource::kRecipe; }

OptionSource OptionValues::source(std::string_view name) const { return entry(name).source; }

const std::string& OptionValues::text(std::string_view name) const { return entry(name).text; }

std::vector<std::string> OptionValues::explicit_without_effect() const {
  std::vector<std::string> names;
  for (const OptionSpec& spec : table_->specs()) {
    if (spec.no_effect && is_explicit(spec.name)) names.push_back(spec.name);
  }
  return names;
}

std::string OptionValues::dump() const {
  std::vector<std::string> groups;
  for (const OptionSpec& spec : table_->specs()) {
    if (std::find(groups.begin(), groups.end(), spec.group) == groups.end()) groups.push_back(spec.group);
  }
  std::string text;
  for (const std::string& group : groups) {
    if (!group.empty()) text += str_cat(text.empty() ? "" : "\n", "# ", group, "\n");
    for (const OptionSpec& spec : table_->specs()) {
      const Entry& held = entries_.at(spec.name);
      if (spec.group != group || held.value.index() == 0) continue;
      text += str_cat(is_explicit(spec.name) ? "" : "#", spec.name, ": ",
                      yaml_text(spec, held.text, held.value), "\n");
    }
  }
  return text;
}

std::string OptionValues::to_json(const std::vector<std::string>& groups) const {
  json object = json::object();
  for (const OptionSpec& spec : table_->specs()) {
    const bool wanted = groups.empty() || std::find(groups.begin(), groups.end(), spec.group) != groups.end();
    const Entry& held = entries_.at(spec.name);
    if (wanted && held.value.index() != 0) object[spec.name] = json_value(held.value);
  }
  return object.dump(-1, ' ', false, json::error_handler_t::replace);
}

void OptionValues::from_json(const std::string& text, OptionSource source) {
  const json object = parse_options(text);
  for (const auto& [name, value] : object.items()) {
    const std::string value_text = text_of(name, value);
    try {
      set(name, value_text, source);
    } catch (const Error& error) {
      throw Error(ErrorKind::kFormat, str_cat("stored options: ", error.what()), error.hint());
    }
  }
}

}  // namespace quantnoise::config
