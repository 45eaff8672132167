#include "quantnoise/runtime/generate.h"

namespace quantnoise::runtime {

search::TextCodec text_codec(const LanguageModel& model) {
  return {[&model](std::string_view line) {
            return model.dictionary().encode_line(line, model.tokenizer(), /*append_eos=*/false);
          },
          [&model](std::span<const int64_t> tokens) {
            return model.dictionary().decode(tokens, model.tokenizer());
          }};
}

std::vector<std::vector<search::GeneratedText>> generate_text(Session& session,
                                                              std::span<const std::string> prompts,
                                                              const search::GenerateOptions& options,
                                                              bool stop_at_eos) {
  return search::generate_text(session, text_codec(session.model()), prompts, options, stop_at_eos);
}

}  // namespace quantnoise::runtime
