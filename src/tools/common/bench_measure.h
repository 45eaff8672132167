#pragma once
// Measurements of `bench`: what is compared takes turns in one run.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "quantnoise/runtime/language_model.h"

namespace quantnoise::tool {

/// The model with all weights decoded to fp32. Activations are quantized as in the file.
std::shared_ptr<const runtime::LanguageModel> dense_twin(const std::string& path);

/// One layer with a weight matrix: microseconds of a product.
struct LayerTime {
  const runtime::LayerReport* layer = nullptr;
  int64_t batch = 1;
  double microseconds = 0;
  double dense_microseconds = 0;  ///< 0: not measured
};

struct BenchSettings {
  runtime::Arithmetic arithmetic = runtime::Arithmetic::kPrecise;
  int64_t prompt_tokens = 128;  ///< less where a model has not so many positions
  int64_t new_tokens = 64;
  double seconds = 0.2;  ///< for each number at least
};

/// The settings with lengths of prompt and continuation that fit the model's positions together.
BenchSettings fitted(const runtime::LanguageModel& model, BenchSettings settings);

/// dense: the twin, or null.
std::vector<LayerTime> time_layers(const runtime::LanguageModel& model, const runtime::LanguageModel* dense,
                                   const BenchSettings& settings, int num_threads, int64_t batch);

/// Tokens a second of the whole model.
struct ModelSpeed {
  double prompt = 0;
  double generation = 0;
};
/// models: one or two, which take turns; the settings fit them. batch: sequences at once.
std::vector<ModelSpeed> time_models(const std::vector<std::shared_ptr<const runtime::LanguageModel>>& models,
                                    const BenchSettings& settings, int num_threads, int64_t batch);

/// Bytes of weights that one step of generation reads.
int64_t bytes_a_step(const runtime::LanguageModel& model);

}  // namespace quantnoise::tool
