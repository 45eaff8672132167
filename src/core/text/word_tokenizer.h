#pragma once
// The tokenizer "words".

#include "quantnoise/text/tokenizer.h"

namespace quantnoise::text {

class WordTokenizer : public Tokenizer {
 public:
  std::string_view name() const override { return "words"; }
  void tokenize(std::string_view line, std::vector<std::string>& tokens) const override;
  std::string detokenize(std::span<const std::string> tokens) const override;
};

}  // namespace quantnoise::text
