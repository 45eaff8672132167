#include "quantnoise/text/utf8.h"

#include <algorithm>
#include <array>

namespace quantnoise::text {

namespace {

constexpr std::string_view kReplacement = "\xEF\xBF\xBD";

// What may follow a first byte: the number of bytes in all, and the range of the second one (Unicode, table
// 3-7).
struct Lead {
  int num_bytes;
  unsigned char second_low;
  unsigned char second_high;
};

Lead classify_lead(unsigned char first) {
  if (first < 0x80) return {1, 0, 0};
  if (first >= 0xC2 && first <= 0xDF) return {2, 0x80, 0xBF};
  if (first == 0xE0) return {3, 0xA0, 0xBF};
  if (first == 0xED) return {3, 0x80, 0x9F};
  if (first >= 0xE1 && first <= 0xEF) return {3, 0x80, 0xBF};
  if (first == 0xF0) return {4, 0x90, 0xBF};
  if (first >= 0xF1 && first <= 0xF3) return {4, 0x80, 0xBF};
  if (first == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

// How many bytes at `position` follow the rules of its first byte; `complete` tells whether they make a
// character.
int well_formed_prefix(std::string_view text, size_t position, bool& complete) {
  const Lead lead = classify_lead(static_cast<unsigned char>(text[position]));
  complete = false;
  if (lead.num_bytes == 0) return 1;
  int length = 1;
  while (length < lead.num_bytes && position + static_cast<size_t>(length) < text.size()) {
    const auto byte = static_cast<unsigned char>(text[position + static_cast<size_t>(length)]);
    const unsigned char low = length == 1 ? lead.second_low : 0x80;
    const unsigned char high = length == 1 ? lead.second_high : 0xBF;
    if (byte < low || byte > high) return length;
    ++length;
  }
  complete = length == lead.num_bytes;
  return length;
}

}  // namespace

CodePoint decode_utf8(std::string_view text, size_t position) {
  const auto first = static_cast<unsigned char>(text[position]);
  if (first < 0x80) return {first, 1};
  bool complete = false;
  const int length = well_formed_prefix(text, position, complete);
  if (!complete) return {};
  constexpr std::array<unsigned char, 5> kFirstMask = {0, 0x7F, 0x1F, 0x0F, 0x07};
  char32_t value = first & kFirstMask[static_cast<size_t>(length)];
  for (int i = 1; i < length; ++i) {
    value = value << 6 | (static_cast<unsigned char>(text[position + static_cast<size_t>(i)]) & 0x3F);
  }
  return {value, length};
}

int64_t replace_invalid_utf8(std::string_view& text, std::string& storage) {
  int64_t num_replaced = 0;
  size_t copied = 0;  // text before this place is in `storage`, once there is a first replacement
  for (size_t position = 0; position < text.size();) {
    if (static_cast<unsigned char>(text[position]) < 0x80) {
      ++position;
      continue;
    }
    bool complete = false;
    const auto length = static_cast<size_t>(well_formed_prefix(text, position, complete));
    if (!complete) {
      if (num_replaced++ == 0) storage.clear();
      storage.append(text.substr(copied, position - copied)).append(kReplacement);
      copied = position + length;
    }
    position += length;
  }
  if (num_replaced > 0) {
    storage.append(text.substr(copied));
    text = storage;
  }
  return num_replaced;
}

bool is_unicode_space(char32_t c) {
  if (c <= 0x20) return c == 0x20 || (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x1F);
  if (c < 0x85) return false;
  return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

}  // namespace quantnoise::text
