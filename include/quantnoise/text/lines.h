#pragma once
// What a line of a text is.

#include <algorithm>
#include <string_view>

namespace quantnoise::text {

/// Calls body(line) for every line, without its end: \n, \r\n or \r, as Python's universal newlines.
template <typename Body>
void for_each_line(std::string_view text, const Body& body) {
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find_first_of("\r\n", begin), text.size());
    body(text.substr(begin, end - begin));
    const bool is_pair = end + 1 < text.size() && text[end] == '\r' && text[end + 1] == '\n';
    begin = end + (is_pair ? 2 : 1);
  }
}

}  // namespace quantnoise::text
