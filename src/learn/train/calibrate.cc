#include "learn/train/calibrate.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "learn/train/activation_plan.h"
#include "quantnoise/base/error.h"
#include "quantnoise/quant/context.h"
#include "quantnoise/train/model_io.h"

namespace quantnoise::train {
namespace {

using Calibration = quant::ActivationQuantizer::Calibration;

std::vector<quant::NamedActivation> static_inputs(torch::nn::Module& model) {
  std::vector<quant::NamedActivation> inputs = quant::named_activations(model);
  std::erase_if(inputs, [](const quant::NamedActivation& input) {
    return input.quantizer->options().mode != quant::ActivationMode::kStatic;
  });
  return inputs;
}

/// Numbers of evenly spread batches whose samples have about max_tokens in all.
std::vector<int64_t> spread(const data::BatchList& batches, int64_t num_tokens, int64_t max_tokens) {
  const int64_t count = batches.size();
  int64_t chosen = count;
  if (max_tokens > 0 && num_tokens > max_tokens) {
    const double share = static_cast<double>(max_tokens) / static_cast<double>(num_tokens);
    chosen = std::max<int64_t>(1, std::llround(share * static_cast<double>(count)));
  }
  std::vector<int64_t> numbers;
  for (int64_t i = 0; i < chosen; ++i) numbers.push_back(i * count / chosen);
  return numbers;
}

}  // namespace

int64_t calibrate_activations(models::LanguageModel& model, const text::Dictionary& dictionary,
                              const CalibrationData& data) {
  const auto folder = data::LanguageModelData::open(data.folder);
  require_same_dictionary(dictionary, *folder.dictionary(), data.folder);
  warn_of_other_tokenizer(data.tokenizer, folder.tokenizer_name(), data.folder);
  data::LanguageModelOptions options;
  options.tokens_per_sample = std::min(data.tokens_per_sample, model.max_positions());
  options.sample_break_mode = data.sample_break_mode;
  const auto dataset = folder.split(data.split, options);
  const data::BatchList batches =
      evaluation_batches(*dataset, /*max_tokens=*/0, /*batch_size=*/1, model.max_positions());
  const auto& sizes = dataset->sizes();
  const int64_t num_tokens = std::accumulate(sizes.begin(), sizes.end(), int64_t{0});

  const std::vector<quant::NamedActivation> inputs = static_inputs(model);
  for (const auto& input : inputs) input.quantizer->start_calibration(Calibration::kEvaluation);
  const quant::ComputeTypeGuard compute_type(at::kFloat);
  const bool was_training = model.is_training();
  model.eval();
  int64_t tokens = 0;
  for (const int64_t number : spread(batches, num_tokens, data.max_tokens)) {
    const data::Batch batch = dataset->collate(batches[number]);
    if (batch.empty()) continue;
    score_batch(model, batch);
    tokens += batch.num_tokens;
  }
  model.train(was_training);
  QN_REQUIRE(tokens > 0, ErrorKind::kData, "calibration of activations: the split '", data.split, "' of ",
             data.folder, " has no sample that fits the model");
  std::vector<quant::NamedActivation> unreached = inputs;
  std::erase_if(unreached, [](const auto& input) { return input.quantizer->has_observed(); });
  if (!unreached.empty()) {
    throw Error(ErrorKind::kData,
                str_cat("calibration of activations: none of the ", tokens, " tokens from '", data.split,
                        "' of ", data.folder, " reached ", join(layers_of(unreached), ", ")),
                "take more tokens (--calibrate-tokens, 0: all of the split) or another split, or leave these "
                "layers out with --scalar-act-exclude");
  }
  for (const auto& input : inputs) input.quantizer->finish_calibration();
  return tokens;
}

}  // namespace quantnoise::train
