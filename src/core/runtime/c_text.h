#pragma once
// Text and tokens as they come through the C interface.

#include <cstdint>
#include <string_view>
#include <vector>

#include "quantnoise/runtime/language_model.h"
#include "quantnoise/runtime/quantnoise.h"

namespace quantnoise::runtime {

/// Errors: kUsage for NULL with a length.
std::string_view text_argument(const char* text, size_t num_bytes, const char* name);
std::vector<int64_t> token_arguments(const int32_t* tokens, size_t count);

/// Copies text and the 0 behind it. QN_BUFFER_TOO_SMALL when that does not fit; the length is written always.
qn_status write_text(std::string_view from, char* to, size_t capacity, size_t* num_bytes);

/// Tokens of one line, without </s>; ill-formed UTF-8 is replaced.
std::vector<int64_t> encode(const LanguageModel& model, std::string_view line);

}  // namespace quantnoise::runtime
