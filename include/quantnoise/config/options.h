#pragma once
// Options: each declared once with type, default, unit and help; values ranked by where they come from.
// Names are canonical with dashes ("quant-noise-pq"); underscores and leading dashes are accepted everywhere.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace quantnoise::config {

enum class OptionType { kBool, kInt, kFloat, kString, kChoice, kIntList, kFloatList };

/// Every member has an initializer, so that a declaration names only what it needs: {.name = "lr", .type =
/// …}.
struct OptionSpec {
  std::string name = {};
  OptionType type = OptionType::kString;
  std::string default_text = {};  ///< as a user would write it; empty: not set (kBool: false, kString: empty)
  std::string unit = {};
  std::string help = {};
  std::string group = {};
  std::vector<std::string> choices = {};  ///< kChoice
  std::string bare_text = {};             ///< kChoice: the value where none is given; empty: one is needed
  std::optional<double> min = {};         ///< smallest number allowed, of lists: of every item
  std::optional<double> max = {};
  std::vector<std::string> aliases = {};
  bool no_effect = false;  ///< accepted for compatibility; listed once as having no effect
};

/// "quant_noise_pq", "--quant-noise-pq" → "quant-noise-pq".
std::string canonical_name(std::string_view name);

/// What a user may write for a value of this type: "a whole number", "true or false" …
std::string describe_type(const OptionSpec& spec);

class OptionTable {
 public:
  /// Errors: kInternal for a name or alias declared twice, or a default that its own declaration refuses.
  void add(OptionSpec spec);
  /// By name or alias. Errors: kUsage for an unknown option, with the nearest names.
  const OptionSpec& find(std::string_view name) const;
  bool contains(std::string_view name) const;
  /// In the order of declaration.
  const std::vector<OptionSpec>& specs() const { return specs_; }

 private:
  std::vector<OptionSpec> specs_;
  std::map<std::string, size_t, std::less<>> index_;  // names and aliases
};

/// Where a value comes from. The higher rank wins; of two values of the same rank the later one.
enum class OptionSource {
  kDefault,
  kArchitecture,  ///< defaults that a named architecture changes
  kStored,        ///< options stored in a model file
  kRecipe,        ///< --config FILE
  kCommandLine,
};

using OptionValue = std::variant<std::monostate, bool, int64_t, double, std::string, std::vector<int64_t>,
                                 std::vector<double>>;

/// The whole text as a value of the option's type: `8x` is not 8. Floats: 1e-5, .5, 3. Booleans: true, false,
/// True, False, 1, 0, or nothing (a bare flag). Lists: "1,2,3", "[1,2]", "(0.9, 0.98)". Errors: kConfig
/// naming option, text and what is expected.
OptionValue parse_value(const OptionSpec& spec, const std::string& text);

class OptionValues {
 public:
  /// The table must outlive the values.
  explicit OptionValues(const OptionTable& table);

  const OptionTable& table() const { return *table_; }

  /// Checks the text even when a value of higher rank stands. Errors: kUsage, kConfig.
  void set(std::string_view name, const std::string& text, OptionSource source);

  /// Errors of the getters: kInternal for another type or a value that is not set (programming errors).
  bool get_bool(std::string_view name) const;
  int64_t get_int(std::string_view name) const;
  /// Of kFloat and kInt.
  double get_float(std::string_view name) const;
  /// Of kString and kChoice.
  const std::string& get_string(std::string_view name) const;
  const std::vector<int64_t>& get_int_list(std::string_view name) const;
  const std::vector<double>& get_float_list(std::string_view name) const;

  /// Whether there is a value at all: options with an empty default have none until they are set.
  bool has_value(std::string_view name) const;
  /// Whether the user gave it: in a recipe or on the command line.
  bool is_explicit(std::string_view name) const;
  OptionSource source(std::string_view name) const;
  /// The value as text, as a user would write it; empty when not set.
  const std::string& text(std::string_view name) const;
  /// Explicit options that are accepted without having any effect, in order of declaration.
  std::vector<std::string> explicit_without_effect() const;

  /// A recipe that gives these values again: one `name: value` a line, by groups. What the user did not give
  /// stands behind a `#`: it is seen, and still ranks as it did when the recipe is read. Not-set options are
  /// left out.
  std::string dump() const;
  /// One JSON object, option name → typed value, of the given groups (empty: all); not-set options are left
  /// out.
  std::string to_json(const std::vector<std::string>& groups = {}) const;
  /// Sets values written by to_json(). Errors: kFormat for anything that is not such an object or that the
  /// table refuses.
  void from_json(const std::string& json, OptionSource source = OptionSource::kStored);

 private:
  struct Entry {
    OptionValue value;
    std::string text;
    OptionSource source = OptionSource::kDefault;
  };

  const Entry& entry(std::string_view name) const;
  template <typename T>
  const T& get(std::string_view name) const;

  const OptionTable* table_;
  std::map<std::string, Entry, std::less<>> entries_;  // by canonical name
};

}  // namespace quantnoise::config
