#include "quantnoise/text/tokenizer.h"

#include <algorithm>
#include <array>

#include "core/text/word_tokenizer.h"
#include "quantnoise/base/error.h"
#include "quantnoise/text/utf8.h"

namespace quantnoise::text {

namespace {

class SpaceTokenizer : public Tokenizer {
 public:
  std::string_view name() const override { return "space"; }

  void tokenize(std::string_view line, std::vector<std::string>& tokens) const override {
    size_t begin = 0;
    for (size_t position = 0; position < line.size();) {
      const CodePoint c = decode_utf8(line, position);
      const auto length = static_cast<size_t>(std::max(c.num_bytes, 1));
      if (is_unicode_space(c.value) && c.num_bytes > 0) {
        if (position > begin) tokens.emplace_back(line.substr(begin, position - begin));
        begin = position + length;
      }
      position += length;
    }
    if (line.size() > begin) tokens.emplace_back(line.substr(begin));
  }

  std::string detokenize(std::span<const std::string> tokens) const override { return join(tokens, " "); }
};

const std::array<const Tokenizer*, 2>& all_tokenizers() {
  static const std::array<const Tokenizer*, 2> tokenizers = {&space_tokenizer(), &words_tokenizer()};
  return tokenizers;
}

}  // namespace

const Tokenizer& space_tokenizer() {
  static const SpaceTokenizer tokenizer;
  return tokenizer;
}

const Tokenizer& words_tokenizer() {
  static const WordTokenizer tokenizer;
  return tokenizer;
}

const Tokenizer& find_tokenizer(std::string_view name) {
  for (const Tokenizer* tokenizer : all_tokenizers()) {
    if (tokenizer->name() == name) return *tokenizer;
  }
  throw Error(ErrorKind::kConfig,
              str_cat("tokenizer: found '", name, "', expected one of: ", join(tokenizer_names(), ", ")));
}

std::vector<std::string> tokenizer_names() {
  std::vector<std::string> names;
  for (const Tokenizer* tokenizer : all_tokenizers()) names.emplace_back(tokenizer->name());
  return names;
}

}  // namespace quantnoise::text
