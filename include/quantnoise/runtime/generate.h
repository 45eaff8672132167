#pragma once
// Text from a language model.

#include <span>
#include <string>
#include <vector>

#include "quantnoise/runtime/language_model.h"
#include "quantnoise/search/text_generation.h"

namespace quantnoise::runtime {

/// The dictionary and the tokenizer of a model, which must outlive the codec.
search::TextCodec text_codec(const LanguageModel& model);

/// Continues lines of text; result i belongs to prompt i (search/text_generation.h). A session's prompts pass
/// through the model together.
std::vector<std::vector<search::GeneratedText>> generate_text(Session& session,
                                                              std::span<const std::string> prompts,
                                                              const search::GenerateOptions& options,
                                                              bool stop_at_eos = true);

}  // namespace quantnoise::runtime
