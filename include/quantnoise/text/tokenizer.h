#pragma once
// From a line of text to tokens and back. A model file stores the tokenizer's name.

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace quantnoise::text {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  virtual std::string_view name() const = 0;
  /// Appends the line's tokens. The line is valid UTF-8 (see replace_invalid_utf8); no token holds white
  /// space.
  virtual void tokenize(std::string_view line, std::vector<std::string>& tokens) const = 0;
  /// Readable text.
  virtual std::string detokenize(std::span<const std::string> tokens) const = 0;
};

/// "space": splits at Unicode white space as Python's str.split(), joins with one blank. fairseq's default,
/// for text that is tokenized already.
const Tokenizer& space_tokenizer();

/// "words": for plain text. Punctuation stands alone; hyphenated words, numbers (1,000 · 3.14 · 3:16) and
/// initials (U.S) stay whole; English clitics are split off (do n't, Moses 's); runs of dots or dashes are
/// one token; CJK characters stand alone. detokenize() puts the blanks back by the usual rules; ordinary text
/// then tokenizes to the same tokens.
const Tokenizer& words_tokenizer();

/// Errors: kConfig with the names there are.
const Tokenizer& find_tokenizer(std::string_view name);
std::vector<std::string> tokenizer_names();

}  // namespace quantnoise::text
