#include <algorithm>
#include <charconv>
#include <cmath>
#include <string_view>
#include <system_error>

#include "quantnoise/base/error.h"
#include "quantnoise/config/options.h"

namespace quantnoise::config {

namespace {

std::string_view trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

// One leading plus sign is allowed, as in Python; from_chars knows none.
std::string_view without_plus(std::string_view text) {
  const bool plus = text.size() > 1 && text[0] == '+' && text[1] != '-' && text[1] != '+';
  return plus ? text.substr(1) : text;
}

template <typename Number>
std::optional<Number> parse_number(std::string_view text) {
  text = without_plus(text);
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if constexpr (std::is_floating_point_v<Number>) {
    if (!std::isfinite(number)) return std::nullopt;
  }
  return number;
}

std::optional<bool> parse_bool(std::string_view text) {
  if (text.empty() || text == "true" || text == "True" || text == "1") return true;
  if (text == "false" || text == "False" || text == "0") return false;
  return std::nullopt;
}

template <typename Number>
std::optional<std::vector<Number>> parse_list(std::string_view text) {
  text = trim(text);
  const bool bracketed = text.size() >= 2 && ((text.front() == '[' && text.back() == ']') ||
                                              (text.front() == '(' && text.back() == ')'));
  if (bracketed) text = trim(text.substr(1, text.size() - 2));
  // Python writes a tuple of one item as "(1,)".
  if (bracketed && text.ends_with(',')) text.remove_suffix(1);
  std::vector<Number> items;
  while (true) {
    const size_t comma = text.find(',');
    const std::optional<Number> item = parse_number<Number>(trim(text.substr(0, comma)));
    if (!item) return std::nullopt;
    items.push_back(*item);
    if (comma == std::string_view::npos) return items;
    text.remove_prefix(comma + 1);
  }
}

std::string number_text(double number) {
  char buffer[32];
  const auto [end, error] = std::to_chars(buffer, buffer + sizeof(buffer), number);
  return std::string(buffer, end);
}

std::string range_text(const OptionSpec& spec) {
  if (spec.min && spec.max) return str_cat(" from ", number_text(*spec.min), " to ", number_text(*spec.max));
  if (spec.min) return str_cat(" of at least ", number_text(*spec.min));
  if (spec.max) return str_cat(" of at most ", number_text(*spec.max));
  return "";
}

template <typename Number>
bool in_range(const OptionSpec& spec, Number number) {
  const auto value = static_cast<double>(number);
  return (!spec.min || value >= *spec.min) && (!spec.max || value <= *spec.max);
}

template <typename Number>
bool in_range(const OptionSpec& spec, const std::vector<Number>& numbers) {
  return std::all_of(numbers.begin(), numbers.end(), [&](Number number) { return in_range(spec, number); });
}

[[noreturn]] void refuse(const OptionSpec& spec, const std::string& text) {
  std::string hint;
  if (spec.type == OptionType::kChoice) {
    const std::vector<std::string> nearest = nearest_names(text, spec.choices, 1);
    if (!nearest.empty()) hint = str_cat("did you mean ", nearest.front(), "?");
  }
  throw Error(ErrorKind::kConfig,
              str_cat("option --", spec.name, ": found '", text, "', expected ", describe_type(spec)), hint);
}

template <typename Value>
OptionValue checked(const OptionSpec& spec, const std::string& text, const std::optional<Value>& value) {
  if (!value) refuse(spec, text);
  if constexpr (!std::is_same_v<Value, bool>) {
    if (!in_range(spec, *value)) refuse(spec, text);
  }
  return *value;
}

}  // namespace

std::string describe_type(const OptionSpec& spec) {
  switch (spec.type) {
    case OptionType::kBool:
      return "true or false";
    case OptionType::kInt:
      return "a whole number" + range_text(spec);
    case OptionType::kFloat:
      return "a number" + range_text(spec);
    case OptionType::kString:
      return "text";
    case OptionType::kChoice:
      return "one of " + join(spec.choices, ", ");
    case OptionType::kIntList:
      return "whole numbers with commas between them" + range_text(spec);
    case OptionType::kFloatList:
      return "numbers with commas between them" + range_text(spec);
  }
  return "";
}

OptionValue parse_value(const OptionSpec& spec, const std::string& text) {
  switch (spec.type) {
    case OptionType::kBool:
      return checked(spec, text, parse_bool(text));
    case OptionType::kInt:
      return checked(spec, text, parse_number<int64_t>(text));
    case OptionType::kFloat:
      return checked(spec, text, parse_number<double>(text));
    case OptionType::kString:
      return text;
    case OptionType::kChoice:
      if (std::find(spec.choices.begin(), spec.choices.end(), text) == spec.choices.end()) refuse(spec, text);
      return text;
    case OptionType::kIntList:
      return checked(spec, text, parse_list<int64_t>(text));
    case OptionType::kFloatList:
      return checked(spec, text, parse_list<double>(text));
  }
  throw Error(ErrorKind::kInternal, str_cat("option --", spec.name, " has no type"));
}

}  // namespace quantnoise::config
