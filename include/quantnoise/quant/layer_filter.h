#pragma once
// Which layers of a model are meant: regular expressions over their paths.

#include <regex>
#include <string>
#include <vector>

#include "quantnoise/quant/slot.h"

namespace quantnoise::quant {

/// Matches a pattern in full against the canonical path of a slot or that of another end of a tie.
bool matches_path(const NamedSlot& slot, const std::regex& pattern);

class LayerFilter {
 public:
  /// All layers.
  LayerFilter() = default;
  /// Layers that match `include` (empty: all) and do not match `exclude` (empty: none). `option` is what the
  /// user calls the two, without "-include" and "-exclude". Errors: kConfig for a broken regular expression.
  LayerFilter(const std::string& option, const std::string& include, const std::string& exclude);

  /// Whether the layer is meant.
  bool operator()(const NamedSlot& slot) const;
  /// Errors: kConfig when `include` matches none of these.
  void require_match(const std::vector<NamedSlot>& slots) const;
  /// The same of `exclude`, too: for filters without a default.
  void require_matches(const std::vector<NamedSlot>& slots) const;

 private:
  void require(const std::vector<NamedSlot>& slots, const char* end, const std::string& text,
               const std::regex& pattern) const;

  std::string option_;
  std::string include_text_;
  std::string exclude_text_;
  std::regex include_;
  std::regex exclude_;
};

}  // namespace quantnoise::quant
