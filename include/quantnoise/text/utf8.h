#pragma once
// UTF-8: checked once where text comes in, trusted afterwards.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace quantnoise::text {

struct CodePoint {
  char32_t value = 0;
  int num_bytes = 0;  ///< 0: the bytes at this place are not UTF-8
};

/// The code point that starts at `position`; overlong forms, surrogates and values above U+10FFFF are
/// invalid.
CodePoint decode_utf8(std::string_view text, size_t position);

/// Replaces every ill-formed sequence by U+FFFD (one for each maximal ill-formed part, as Python's
/// errors="replace") and returns their number. `storage` is used only when something was replaced; `text`
/// then points into it.
int64_t replace_invalid_utf8(std::string_view& text, std::string& storage);

/// White space as Python's str.isspace() and str.split() understand it.
bool is_unicode_space(char32_t c);

}  // namespace quantnoise::text
