#pragma once
// A model's options: from the command line, from a file, and the two together.

#include <string>

#include "quantnoise/config/options.h"
#include "quantnoise/models/transformer_lm.h"

namespace quantnoise::train {

/// Options of a new transformer_lm.
models::TransformerLmOptions transformer_lm_options(const config::OptionValues& values, int64_t vocab_size);

/// The options stored in a file with the dropout rates of `values`: what regularizes training never comes
/// from a file.
std::string with_regularization(const std::string& stored_json, const config::OptionValues& values);

/// Errors: kConfig when an explicit option of the model group differs from the file's, naming both.
void require_no_conflict(const std::string& stored_json, const config::OptionValues& values,
                         const std::string& path);

}  // namespace quantnoise::train
