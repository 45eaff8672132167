#include "quantnoise/quant/layer_filter.h"

#include <algorithm>

#include "quantnoise/base/error.h"

namespace quantnoise::quant {

namespace {

std::regex compile(const std::string& option, const std::string& pattern) {
  try {
    return std::regex(pattern);
  } catch (const std::regex_error& error) {
    throw Error(ErrorKind::kConfig,
                str_cat(option, " '", pattern, "' is not a regular expression: ", error.what()));
  }
}

}  // namespace

bool matches_path(const NamedSlot& slot, const std::regex& pattern) {
  return std::regex_match(slot.name, pattern) ||
         std::any_of(slot.aliases.begin(), slot.aliases.end(),
                     [&](const std::string& alias) { return std::regex_match(alias, pattern); });
}

LayerFilter::LayerFilter(const std::string& option, const std::string& include, const std::string& exclude)
    : option_(option),
      include_text_(include),
      exclude_text_(exclude),
      include_(compile(option + "-include", include)),
      exclude_(compile(option + "-exclude", exclude)) {}

bool LayerFilter::operator()(const NamedSlot& slot) const {
  if (!include_text_.empty() && !matches_path(slot, include_)) return false;
  return exclude_text_.empty() || !matches_path(slot, exclude_);
}

void LayerFilter::require(const std::vector<NamedSlot>& slots, const char* end, const std::string& text,
                          const std::regex& pattern) const {
  const bool any = text.empty() || std::any_of(slots.begin(), slots.end(), [&](const NamedSlot& slot) {
                     return matches_path(slot, pattern);
                   });
  QN_REQUIRE(any, ErrorKind::kConfig, option_, end, " '", text, "' matches no layer (in full: .*NAME.*)");
}

void LayerFilter::require_match(const std::vector<NamedSlot>& slots) const {
  require(slots, "-include", include_text_, include_);
}

void LayerFilter::require_matches(const std::vector<NamedSlot>& slots) const {
  require_match(slots);
  require(slots, "-exclude", exclude_text_, exclude_);
}

}  // namespace quantnoise::quant
