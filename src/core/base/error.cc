#include "quantnoise/base/error.h"

#include <algorithm>
#include <charconv>
#include <sstream>
#include <utility>

namespace quantnoise {

int exit_code(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kUsage:
    case ErrorKind::kConfig:
      return 2;
    case ErrorKind::kData:
    case ErrorKind::kFormat:
      return 3;
    case ErrorKind::kUnsupported:
      return 4;
    case ErrorKind::kInternal:
      return 70;
    case ErrorKind::kFailed:
    case ErrorKind::kIo:
    case ErrorKind::kNumeric:
      return 1;
  }
  return 70;
}

Error::Error(ErrorKind kind, std::string message, std::string hint)
    : std::runtime_error(message),
      kind_(kind),
      message_(std::move(message)),
      hint_(std::move(hint)),
      text_(message_) {}

Error& Error::in(std::string_view place) {
  text_ = str_cat("in ", place, ": ", text_);
  return *this;
}

int edit_distance(std::string_view a, std::string_view b) {
  std::vector<int> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = static_cast<int>(j);
  for (size_t i = 1; i <= a.size(); ++i) {
    int diagonal = row[0];
    row[0] = static_cast<int>(i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const int substituted = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row[b.size()];
}

std::vector<std::string> nearest_names(std::string_view name, const std::vector<std::string>& candidates,
                                       int limit) {
  const int farthest = std::max<int>(2, static_cast<int>(name.size()) / 2);
  std::vector<std::pair<int, std::string>> ranked;
  for (const std::string& candidate : candidates) {
    const int distance = edit_distance(name, candidate);
    if (distance <= farthest) ranked.emplace_back(distance, candidate);
  }
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::string> nearest;
  for (const auto& [distance, candidate] : ranked) {
    if (static_cast<int>(nearest.size()) == limit) break;
    nearest.push_back(candidate);
  }
  return nearest;
}

namespace detail {

namespace {

/// format: none, or std::chars_format and the precision.
template <typename Number, typename... Format>
void append_number(std::string& text, Number number, Format... format) {
  char digits[32];
  text.append(digits, std::to_chars(digits, digits + sizeof(digits), number, format...).ptr);
}

}  // namespace

void TextPiece::append_to(std::string& text) const {
  switch (kind_) {
    case Kind::kText:
      text += text_;
      break;
    case Kind::kCharacter:
      text += character_;
      break;
    case Kind::kInteger:
      append_number(text, integer_);
      break;
    case Kind::kUnsigned:
      append_number(text, unsigned_);
      break;
    case Kind::kReal:
      append_number(text, real_, std::chars_format::general, 6);  // the precision of streams
      break;
    case Kind::kOther: {
      std::ostringstream out;
      other_.print(out, other_.value);
      text += out.view();
    }
  }
}

std::string concatenate(std::initializer_list<TextPiece> pieces) {
  std::string text;
  for (const TextPiece& piece : pieces) piece.append_to(text);
  return text;
}

void fail(ErrorKind kind, std::initializer_list<TextPiece> message) {
  throw Error(kind, concatenate(message));
}

void invariant_failed(const char* condition, const char* file, int line) {
  throw Error(ErrorKind::kInternal, str_cat("invariant broken: ", condition, " (", file, ":", line, ")"),
              "this is a bug in quantnoise");
}
}  // namespace detail

}  // namespace quantnoise
