#pragma once
#include "quantnoise/models/transformer_lm.h"

namespace quantnoise::models {

/// The options with what is left open filled in. Errors: kConfig for values out of range and for options that
/// do not go together.
TransformerLmOptions checked_options(TransformerLmOptions options);

}  // namespace quantnoise::models
