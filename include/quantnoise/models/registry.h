#pragma once
// The table of architectures: one line a name.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "quantnoise/models/transformer_lm.h"

namespace quantnoise::models {

/// A named architecture: a model family and the defaults it changes.
struct Architecture {
  std::string name;    ///< as given to --arch: transformer_lm, transformer_lm_big, transformer_lm_gbw …
  std::string family;  ///< "transformer_lm"
  /// Option name (with dashes) → default text. Explicit options of the user win.
  std::vector<std::pair<std::string, std::string>> defaults;
  bool ffn_follows_width =
      false;  ///< unless given, the feed-forward layers are four times as wide as the others
};

/// All architectures, in the order of the help text.
const std::vector<Architecture>& architectures();

/// Errors: kConfig with the nearest names.
const Architecture& find_architecture(const std::string& name);

/// A model of a family from the options stored in a file. Errors: kFormat for options it does not know.
std::shared_ptr<LanguageModel> make_model(const std::string& family, const std::string& options_json);

}  // namespace quantnoise::models
