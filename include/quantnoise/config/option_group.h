#pragma once
// Short declarations: one line an option.

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "quantnoise/config/options.h"

namespace quantnoise::config {

/// Declares options of one group. The functions return the spec for further settings; the destructor of the
/// returned handle adds it to the table.
class OptionGroup {
 public:
  OptionGroup(OptionTable& table, const char* group) : table_(table), group_(group) {}

  class Handle {
   public:
    Handle(OptionTable& table, OptionSpec spec) : table_(table), spec_(std::move(spec)) {}
    ~Handle() noexcept(false) { table_.add(std::move(spec_)); }
    Handle(const Handle&) = delete;
    Handle& operator=(const Handle&) = delete;

    Handle& unit(const char* unit) { return spec_.unit = unit, *this; }
    Handle& min(double value) { return spec_.min = value, *this; }
    Handle& max(double value) { return spec_.max = value, *this; }
    Handle& bare(const char* value) { return spec_.bare_text = value, *this; }
    Handle& alias(const char* name) { return spec_.aliases.emplace_back(name), *this; }

   private:
    OptionTable& table_;
    OptionSpec spec_;
  };

  Handle flag(const char* name, const char* help) { return add(name, OptionType::kBool, "", help); }
  Handle boolean(const char* name, const char* value, const char* help) {
    return add(name, OptionType::kBool, value, help);
  }
  Handle integer(const char* name, const char* value, const char* help) {
    return add(name, OptionType::kInt, value, help);
  }
  Handle real(const char* name, const char* value, const char* help) {
    return add(name, OptionType::kFloat, value, help);
  }
  Handle text(const char* name, const char* value, const char* help) {
    return add(name, OptionType::kString, value, help);
  }
  Handle integers(const char* name, const char* value, const char* help) {
    return add(name, OptionType::kIntList, value, help);
  }
  Handle reals(const char* name, const char* value, const char* help) {
    return add(name, OptionType::kFloatList, value, help);
  }
  Handle choice(const char* name, const char* value, std::vector<std::string> choices, const char* help) {
    OptionSpec spec = make(name, OptionType::kChoice, value, help);
    spec.choices = std::move(choices);
    return Handle(table_, std::move(spec));
  }
  /// Accepted for the sake of existing command lines.
  void without_effect(const char* name, OptionType type, const char* help) {
    OptionSpec spec = make(name, type, "", help);
    spec.no_effect = true;
    table_.add(std::move(spec));
  }

 private:
  OptionSpec make(const char* name, OptionType type, const char* value, const char* help) {
    OptionSpec spec;
    spec.name = name;
    spec.type = type;
    spec.default_text = value;
    spec.help = help;
    spec.group = group_;
    return spec;
  }
  Handle add(const char* name, OptionType type, const char* value, const char* help) {
    return Handle(table_, make(name, type, value, help));
  }

  OptionTable& table_;
  const char* group_;
};

}  // namespace quantnoise::config
