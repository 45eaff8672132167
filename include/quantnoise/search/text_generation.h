#pragma once
// Text in, text out, over any scorer.

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quantnoise/search/sampling.h"

namespace quantnoise::search {

/// How a model's text becomes tokens and back; numbers of special symbols as text/dictionary.h.
struct TextCodec {
  std::function<Tokens(std::string_view line)> encode;  ///< without </s>
  std::function<std::string(std::span<const int64_t> tokens)> decode;
};

struct GeneratedText {
  std::string prompt;       ///< as the model read it
  std::string text;         ///< prompt and continuation
  int64_t num_tokens = 0;   ///< of the continuation
  double log_prob = 0;      ///< Σ ln p of the continuation
  bool ended = false;       ///< met </s>
  int64_t num_unknown = 0;  ///< words of the prompt that the dictionary lacks
};

/// Readable text; every </s> inside ends a line.
std::string decode_lines(std::span<const int64_t> tokens, const TextCodec& codec);

/// Continues lines of text (empty: starts a new one); result i belongs to prompt i. </s> before the prompt
/// opens the line, as in training. <s> and <pad> are never chosen; options.penalty is that of <unk>. With
/// stop_at_eos, a continuation ends with its line; otherwise lines follow each other. Errors: as generate().
std::vector<std::vector<GeneratedText>> generate_text(Scorer& scorer, const TextCodec& codec,
                                                      std::span<const std::string> prompts,
                                                      GenerateOptions options, bool stop_at_eos = true);

}  // namespace quantnoise::search
