#pragma once
// Coarse kinds of characters, enough to cut text into words.

#include <cstdint>

namespace quantnoise::text {

enum class CharClass : uint8_t {
  kSpace,        ///< white space, control characters, the byte order mark: separate words and are dropped
  kWord,         ///< letters, digits, marks of any script
  kIdeograph,    ///< Chinese characters and Japanese syllables: words are not separated, so each stands alone
  kPunctuation,  ///< punctuation and symbols
};

CharClass char_class(char32_t c);
/// U+0027 and the typographic U+2019.
inline bool is_apostrophe(char32_t c) { return c == U'\'' || c == U'\u2019'; }
/// U+002D, U+2010 and U+2011.
inline bool is_hyphen(char32_t c) { return c == U'-' || c == U'\u2010' || c == U'\u2011'; }
/// Punctuation of Chinese and Japanese text, which is set without blanks.
bool is_cjk_punctuation(char32_t c);
inline bool is_ascii_digit(char32_t c) { return c >= U'0' && c <= U'9'; }
inline bool is_ascii_upper(char32_t c) { return c >= U'A' && c <= U'Z'; }

}  // namespace quantnoise::text
