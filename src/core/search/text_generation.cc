#include "quantnoise/search/text_generation.h"

#include <algorithm>
#include <utility>

#include "quantnoise/text/dictionary.h"

namespace quantnoise::search {

namespace {

GeneratedText to_text(const Tokens& prompt, const GeneratedSequence& sequence, const TextCodec& codec) {
  Tokens all = prompt;
  all.insert(all.end(), sequence.tokens.begin(), sequence.tokens.end());
  GeneratedText text;
  text.prompt = codec.decode(prompt);
  text.text = decode_lines(all, codec);
  text.num_tokens = static_cast<int64_t>(sequence.tokens.size());
  text.log_prob = sequence.log_prob;
  text.ended = sequence.ended;
  text.num_unknown = std::count(prompt.begin(), prompt.end(), text::kUnk);
  return text;
}

}  // namespace

std::string decode_lines(std::span<const int64_t> tokens, const TextCodec& codec) {
  std::string lines;
  auto begin = tokens.begin();
  while (true) {
    const auto end = std::find(begin, tokens.end(), text::kEos);
    lines += codec.decode({begin, end});
    if (end == tokens.end()) return lines;
    lines += '\n';
    begin = end + 1;
  }
}

std::vector<std::vector<GeneratedText>> generate_text(Scorer& scorer, const TextCodec& codec,
                                                      std::span<const std::string> prompts,
                                                      GenerateOptions options, bool stop_at_eos) {
  options.banned.insert(options.banned.end(), {text::kBos, text::kPad});
  options.end_token = stop_at_eos ? text::kEos : -1;
  options.penalized_token = text::kUnk;
  std::vector<Tokens> encoded, sources;
  for (const std::string& prompt : prompts) {
    encoded.push_back(codec.encode(prompt));
    sources.push_back({text::kEos});
    sources.back().insert(sources.back().end(), encoded.back().begin(), encoded.back().end());
  }
  std::vector<std::vector<GeneratedText>> texts;
  const auto generated = generate(scorer, sources, options);
  for (size_t i = 0; i < generated.size(); ++i) {
    texts.emplace_back();
    for (const GeneratedSequence& sequence : generated[i])
      texts.back().push_back(to_text(encoded[i], sequence, codec));
  }
  return texts;
}

}  // namespace quantnoise::search
