#pragma once
// Lines to numbers and back: what Dictionary and DictionaryView have in common.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quantnoise/base/error.h"
#include "quantnoise/text/dictionary.h"
#include "quantnoise/text/utf8.h"

namespace quantnoise::text {

inline void require_symbol_number(int64_t index, int64_t size) {
  QN_REQUIRE(index >= 0 && index < size, ErrorKind::kData, "symbol number: found ", index, ", expected 0 to ",
             size - 1);
}

template <typename AnyDictionary>
std::vector<int64_t> encode_with(const AnyDictionary& dictionary, std::string_view line,
                                 const Tokenizer& tokenizer, bool append_eos) {
  std::string replaced;
  replace_invalid_utf8(line, replaced);
  std::vector<std::string> tokens;
  tokenizer.tokenize(line, tokens);
  std::vector<int64_t> ids;
  ids.reserve(tokens.size() + 1);
  for (const std::string& token : tokens) ids.push_back(dictionary.index(token));
  if (append_eos) ids.push_back(kEos);
  return ids;
}

template <typename AnyDictionary>
std::string decode_with(const AnyDictionary& dictionary, std::span<const int64_t> ids,
                        const Tokenizer& tokenizer) {
  std::vector<std::string> tokens;
  tokens.reserve(ids.size());
  for (const int64_t id : ids) {
    const bool is_silent = id == kBos || id == kPad || id == kEos;
    if (!is_silent) tokens.emplace_back(dictionary.symbol(id));
  }
  return tokenizer.detokenize(tokens);
}

}  // namespace quantnoise::text
