#include "core/text/word_tokenizer.h"

#include <algorithm>
#include <array>
#include <cstdint>

#include "core/text/char_class.h"
#include "quantnoise/text/utf8.h"

namespace quantnoise::text {

namespace {

constexpr std::string_view kUnkSymbol = "<unk>";

// A line as characters; index size() is a blank, so that looking one ahead is always allowed.
class Characters {
 public:
  explicit Characters(std::string_view line) : line_(line) {
    for (size_t position = 0; position < line.size();) {
      const CodePoint c = decode_utf8(line, position);
      items_.push_back({c.num_bytes > 0 ? c.value : char32_t{0xFFFD}, position});
      position += static_cast<size_t>(c.num_bytes > 0 ? c.num_bytes : 1);
    }
    items_.push_back({U' ', line.size()});
  }

  size_t size() const { return items_.size() - 1; }
  char32_t operator[](size_t i) const { return i < items_.size() ? items_[i].value : U' '; }
  CharClass kind(size_t i) const { return char_class((*this)[i]); }
  std::string_view text(size_t begin, size_t end) const {
    return line_.substr(items_[begin].offset, items_[end].offset - items_[begin].offset);
  }
  std::string_view rest(size_t begin) const { return line_.substr(items_[begin].offset); }

 private:
  struct Item {
    char32_t value;
    size_t offset;
  };
  std::string_view line_;
  std::vector<Item> items_;
};

// Whether the character at `i`, inside a word that began at `begin`, belongs to that word although it is
// punctuation.
bool joins_word(const Characters& chars, size_t begin, size_t i) {
  if (chars.kind(i + 1) != CharClass::kWord) return false;
  const char32_t c = chars[i];
  if (is_apostrophe(c) || is_hyphen(c)) return true;
  const char32_t before = chars[i - 1];
  const char32_t after = chars[i + 1];
  if (c == U'.' || c == U',' || c == U':') {
    if (is_ascii_digit(before) && is_ascii_digit(after)) return true;
  }
  // Initials: one capital between dots or at the beginning.
  const bool one_letter = i - 1 == begin || chars[i - 2] == U'.';
  return c == U'.' && is_ascii_upper(before) && is_ascii_upper(after) && one_letter;
}

bool equals_ignoring_case(std::string_view text, std::string_view lower) {
  if (text.size() != lower.size()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i] >= 'A' && text[i] <= 'Z' ? static_cast<char>(text[i] + ('a' - 'A')) : text[i];
    if (c != lower[i]) return false;
  }
  return true;
}

bool is_clitic_ending(std::string_view letters) {
  constexpr std::array<std::string_view, 6> kEndings = {"s", "re", "ve", "ll", "d", "m"};
  for (const std::string_view ending : kEndings) {
    if (equals_ignoring_case(letters, ending)) return true;
  }
  return false;
}

struct Apostrophe {
  size_t begin = std::string_view::npos;
  size_t end = 0;
};

Apostrophe last_apostrophe(std::string_view word) {
  constexpr std::string_view kTypographic = "\xE2\x80\x99";
  const size_t straight = word.rfind('\'');
  const size_t curved = word.rfind(kTypographic);
  if (straight == std::string_view::npos && curved == std::string_view::npos) return {};
  if (curved == std::string_view::npos || (straight != std::string_view::npos && straight > curved)) {
    return {straight, straight + 1};
  }
  return {curved, curved + kTypographic.size()};
}

// Where the clitic of a word begins: 2 in "don't", 5 in "Moses's"; npos without one.
size_t clitic_begin(std::string_view word) {
  const Apostrophe apostrophe = last_apostrophe(word);
  if (apostrophe.begin == std::string_view::npos) return std::string_view::npos;
  const std::string_view letters = word.substr(apostrophe.end);
  if (apostrophe.begin > 0 && is_clitic_ending(letters)) return apostrophe.begin;
  const bool is_negation = apostrophe.begin > 1 && equals_ignoring_case(letters, "t") &&
                           (word[apostrophe.begin - 1] == 'n' || word[apostrophe.begin - 1] == 'N');
  return is_negation ? apostrophe.begin - 1 : std::string_view::npos;
}

// "'s", "n't" and their like, as tokens of their own.
bool is_clitic(std::string_view token) {
  const Apostrophe apostrophe = last_apostrophe(token);
  if (apostrophe.begin == 0) return is_clitic_ending(token.substr(apostrophe.end));
  return apostrophe.begin == 1 && (token[0] == 'n' || token[0] == 'N') &&
         equals_ignoring_case(token.substr(apostrophe.end), "t");
}

size_t scan_word(const Characters& chars, size_t begin, std::vector<std::string>& tokens) {
  size_t end = begin + 1;
  while (chars.kind(end) == CharClass::kWord || (end < chars.size() && joins_word(chars, begin, end))) ++end;
  const std::string_view word = chars.text(begin, end);
  const size_t clitic = clitic_begin(word);
  tokens.emplace_back(word.substr(0, clitic));
  if (clitic != std::string_view::npos) tokens.emplace_back(word.substr(clitic));
  return end;
}

size_t scan_punctuation(const Characters& chars, size_t begin, std::vector<std::string>& tokens) {
  size_t end = begin + 1;
  if (chars[begin] == U'<' && chars.rest(begin).starts_with(kUnkSymbol)) {
    end = begin + kUnkSymbol.size();
  } else if (chars[begin] == U'.' || chars[begin] == U'-') {
    while (end < chars.size() && chars[end] == chars[begin]) ++end;
  }
  tokens.emplace_back(chars.text(begin, end));
  return end;
}

// On which sides a token sticks to its neighbours.
struct Sticks {
  bool left = false;
  bool right = false;
};

class Joiner {
 public:
  explicit Joiner(std::span<const std::string> tokens)
      : single_left_(std::count(tokens.begin(), tokens.end(), "'")) {}

  void add(std::string_view token) {
    if (token.empty()) return;
    const Sticks sticks = classify(token);
    const char32_t first = decode_utf8(token, 0).value;
    const bool is_cjk = char_class(first) == CharClass::kIdeograph || is_cjk_punctuation(first);
    if (!text_.empty() && !sticks.left && !glue_ && !(is_cjk && after_cjk_)) text_ += ' ';
    text_ += token;
    glue_ = sticks.right;
    after_cjk_ = is_cjk;
    previous_ = token;
  }
  std::string take() { return std::move(text_); }

 private:
  Sticks classify(std::string_view token) {
    if (token == "\"") return quote(double_open_);
    if (token == "'") {
      --single_left_;
      // "the fathers' house", "o' the": not the beginning of a quotation.
      const bool is_elision = previous_ == "o" || (previous_.ends_with('s') && single_left_ == 0);
      if (!single_open_ && is_elision) return {true, false};
      return quote(single_open_);
    }
    if (is_clitic(token)) return {true, false};
    const CodePoint c = decode_utf8(token, 0);
    if (static_cast<size_t>(c.num_bytes) == token.size()) return classify_sign(c.value);
    if (token.find_first_not_of('.') == std::string_view::npos) return {true, false};
    if (token.find_first_not_of('-') == std::string_view::npos) return {true, true};
    return {};
  }

  static Sticks quote(bool& open) {
    open = !open;
    return open ? Sticks{false, true} : Sticks{true, false};
  }

  static Sticks classify_sign(char32_t c) {
    constexpr std::u32string_view kLeft = U".,;:!?%)]}\u2019\u201D\u2026\u00BB\u203A\u00B0";
    constexpr std::u32string_view kRight = U"([{\u2018\u201C\u00AB\u2039$\u20AC\u00A3#@\u00BF\u00A1";
    constexpr std::u32string_view kBoth = U"\u2014\u2013/";
    if (kLeft.find(c) != std::u32string_view::npos) return {true, false};
    if (kRight.find(c) != std::u32string_view::npos) return {false, true};
    if (kBoth.find(c) != std::u32string_view::npos) return {true, true};
    return {};
  }

  std::string text_;
  std::string_view previous_;
  bool glue_ = false;
  bool after_cjk_ = false;
  bool double_open_ = false;
  bool single_open_ = false;
  int64_t single_left_;  // lone apostrophes still to come
};

}  // namespace

void WordTokenizer::tokenize(std::string_view line, std::vector<std::string>& tokens) const {
  const Characters chars(line);
  for (size_t i = 0; i < chars.size();) {
    switch (chars.kind(i)) {
      case CharClass::kSpace:
        ++i;
        break;
      case CharClass::kWord:
        i = scan_word(chars, i, tokens);
        break;
      case CharClass::kIdeograph:
        tokens.emplace_back(chars.text(i, i + 1));
        ++i;
        break;
      case CharClass::kPunctuation:
        i = scan_punctuation(chars, i, tokens);
        break;
    }
  }
}

std::string WordTokenizer::detokenize(std::span<const std::string> tokens) const {
  Joiner joiner(tokens);
  for (const std::string& token : tokens) joiner.add(token);
  return joiner.take();
}

}  // namespace quantnoise::text
