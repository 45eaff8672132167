#include "core/text/char_class.h"

#include <algorithm>
#include <iterator>

#include "quantnoise/text/utf8.h"

namespace quantnoise::text {

namespace {

struct Range {
  char32_t first;
  char32_t last;
};

// Sorted. Punctuation and symbols beyond ASCII.
constexpr Range kPunctuation[] = {
    {0xA1, 0xA9},       {0xAB, 0xB4},     {0xB6, 0xB9},     {0xBB, 0xBF},     {0xD7, 0xD7},
    {0xF7, 0xF7},       {0x2010, 0x2027}, {0x2030, 0x205E}, {0x20A0, 0x20CF}, {0x2190, 0x2BFF},
    {0x2E00, 0x2E7F},   {0x3001, 0x3003}, {0x3008, 0x3020}, {0x3030, 0x3030}, {0x30FB, 0x30FB},
    {0xFF01, 0xFF0F},   {0xFF1A, 0xFF20}, {0xFF3B, 0xFF40}, {0xFF5B, 0xFF65}, {0xFFFC, 0xFFFD},
    {0x1F000, 0x1FAFF},
};

// Sorted.
constexpr Range kIdeographs[] = {
    {0x2E80, 0x2FDF}, {0x3005, 0x3007}, {0x3021, 0x302F}, {0x3031, 0x30FA},   {0x30FC, 0x30FF},
    {0x3400, 0x4DBF}, {0x4E00, 0x9FFF}, {0xF900, 0xFAFF}, {0x20000, 0x3FFFF},
};

template <size_t kSize>
bool contains(const Range (&ranges)[kSize], char32_t c) {
  const Range* range = std::lower_bound(std::begin(ranges), std::end(ranges), c,
                                        [](const Range& r, char32_t value) { return r.last < value; });
  return range != std::end(ranges) && range->first <= c;
}

CharClass ascii_class(char32_t c) {
  if (c <= 0x20 || c == 0x7F) return CharClass::kSpace;
  const bool is_letter = (c | 0x20) >= U'a' && (c | 0x20) <= U'z';
  return is_letter || is_ascii_digit(c) || c == U'_' ? CharClass::kWord : CharClass::kPunctuation;
}

}  // namespace

CharClass char_class(char32_t c) {
  if (c < 0x80) return ascii_class(c);
  if (c < 0xA0 || is_unicode_space(c) || c == 0x200B || c == 0xFEFF) return CharClass::kSpace;
  if (contains(kPunctuation, c)) return CharClass::kPunctuation;
  return contains(kIdeographs, c) ? CharClass::kIdeograph : CharClass::kWord;
}

bool is_cjk_punctuation(char32_t c) {
  return (c >= 0x3001 && c <= 0x3020) || c == 0x30FB || (c >= 0xFF01 && c <= 0xFF65);
}

}  // namespace quantnoise::text
