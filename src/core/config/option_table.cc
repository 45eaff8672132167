#include <algorithm>
#include <utility>

#include "quantnoise/base/error.h"
#include "quantnoise/config/options.h"

namespace quantnoise::config {

std::string canonical_name(std::string_view name) {
  const size_t begin = name.find_first_not_of('-');
  std::string canonical(begin == std::string_view::npos ? std::string_view() : name.substr(begin));
  std::replace(canonical.begin(), canonical.end(), '_', '-');
  return canonical;
}

void OptionTable::add(OptionSpec spec) {
  spec.name = canonical_name(spec.name);
  QN_REQUIRE(!spec.name.empty(), ErrorKind::kInternal, "an option is declared without a name");
  QN_REQUIRE(spec.type != OptionType::kChoice || !spec.choices.empty(), ErrorKind::kInternal, "option --",
             spec.name, " is declared without choices");
  std::vector<std::string> names = {spec.name};
  for (const std::string& alias : spec.aliases) names.push_back(canonical_name(alias));
  for (const std::string& name : names) {
    QN_REQUIRE(index_.emplace(name, specs_.size()).second, ErrorKind::kInternal, "option --", name,
               " is declared twice");
  }
  if (!spec.default_text.empty()) {
    try {
      parse_value(spec, spec.default_text);
    } catch (const Error& error) {
      throw Error(ErrorKind::kInternal, str_cat("wrong default: ", error.what()));
    }
  }
  specs_.push_back(std::move(spec));
}

const OptionSpec& OptionTable::find(std::string_view name) const {
  const std::string canonical = canonical_name(name);
  const auto found = index_.find(canonical);
  if (found != index_.end()) return specs_[found->second];

  std::vector<std::string> known;
  for (const auto& [known_name, position] : index_) known.push_back(known_name);
  std::vector<std::string> nearest = nearest_names(canonical, known);
  const auto dashes = [](const std::string& of) { return of.size() == 1 ? "-" : "--"; };
  for (std::string& candidate : nearest) candidate.insert(0, dashes(candidate));
  throw Error(ErrorKind::kUsage, str_cat("unknown option ", dashes(canonical), canonical),
              nearest.empty() ? "" : str_cat("did you mean ", join(nearest, " or "), "?"));
}

bool OptionTable::contains(std::string_view name) const {
  return index_.find(canonical_name(name)) != index_.end();
}

}  // namespace quantnoise::config
