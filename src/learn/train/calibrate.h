#pragma once
// Static ranges of a model's inputs from data, without training.

#include <cstdint>
#include <string>

#include "quantnoise/models/transformer_lm.h"
#include "quantnoise/train/evaluate.h"

namespace quantnoise::train {

struct CalibrationData {
  std::string folder;  ///< made by qn preprocess; its dictionary must be the model's
  std::string split = "train";
  std::string tokenizer = "space";  ///< the model's
  int64_t max_tokens = 65536;       ///< evenly spread samples of about so many in all; 0: the whole split
  int64_t tokens_per_sample = 1024;
  text::BreakMode sample_break_mode = text::BreakMode::kNone;
};

/// Runs the model in eval mode and fp32 over the data, one sample at a time (no padding is seen), and gives
/// every active static quantizer the range of what reached it; weights are used as evaluation uses them.
/// Returns the number of tokens. Errors: kData for an empty split, and for layers that nothing reached,
/// naming them.
int64_t calibrate_activations(models::LanguageModel& model, const text::Dictionary& dictionary,
                              const CalibrationData& data);

}  // namespace quantnoise::train
