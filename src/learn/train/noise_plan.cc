#include "learn/train/noise_plan.h"

#include "learn/train/scalar_setup.h"

namespace quantnoise::train {

NoisePlanOptions noise_plan_options(const config::OptionValues& values) {
  NoisePlanOptions options;
  options.noise.kind = quant::parse_noise_kind(values.get_string("quant-noise-kind"));
  options.noise.probability = values.get_float("quant-noise-pq");
  options.noise.block_size = static_cast<int>(values.get_int("quant-noise-pq-block-size"));
  options.noise.rescale =
      values.get_bool("quant-noise-rescale") && !values.get_bool("no-quant-noise-rescale");
  options.noise.num_centroids = static_cast<int>(values.get_int("quant-noise-centroids"));
  options.noise.refresh_interval = values.get_int("quant-noise-refresh");
  options.noise.kmeans_iterations = static_cast<int>(values.get_int("pq-iterations"));
  if (values.has_value("quant-noise-pq-embeddings")) {
    options.embedding_probability = values.get_float("quant-noise-pq-embeddings");
  }
  options.start_update = values.get_int("quant-noise-start-update");
  options.blocks = quant::LayerFilter("--quant-noise", values.get_string("quant-noise-include"),
                                      values.get_string("quant-noise-exclude"));
  if (const std::optional<ScalarSetup> scalar = scalar_setup(values)) {
    options.noise.scalar_probability = scalar->probability;
    options.elements = scalar->filter;
  }
  return options;
}

NoisePlan::NoisePlan(torch::nn::Module& model, const NoisePlanOptions& options)
    : start_update_(options.start_update) {
  const std::vector<quant::NamedSlot> slots = quant::named_slots(model);
  options.blocks.require_match(slots);
  for (const quant::NamedSlot& named : slots) {
    quant::NoiseOptions noise = options.noise;
    if (named.owner->layer_type() == "Embedding" && options.embedding_probability) {
      noise.probability = *options.embedding_probability;
    }
    if (!options.blocks(named)) noise.kind = quant::NoiseKind::kNone;
    if (!options.elements(named)) noise.scalar_probability = 0;
    // What does not fit is refused before any work; a codebook's blocks are what they are.
    const quant::Representation& representation = named.slot->representation();
    check_noise(representation.effective(noise), quant::matrix_shape(representation.shape()).cols,
                named.name);
    named.slot->set_noise({});
    entries_.push_back({named.name, named.slot, noise});
  }
}

void NoisePlan::begin_update(int64_t num_updates) {
  if (started_ || num_updates < start_update_) return;
  for (const Entry& entry : entries_) {
    entry.slot->set_noise(entry.slot->representation().effective(entry.noise));
  }
  started_ = true;
}

bool NoisePlan::has_block_noise(const Entry& entry) {
  return entry.slot->representation().effective(entry.noise).blocks_active();
}

bool NoisePlan::has_scalar_noise(const Entry& entry) {
  return entry.slot->representation().effective(entry.noise).scalar_active();
}

std::vector<std::string> NoisePlan::names(bool (*has_noise)(const Entry&), bool wanted) const {
  std::vector<std::string> names;
  for (const Entry& entry : entries_) {
    if (has_noise(entry) == wanted) names.push_back(entry.name);
  }
  return names;
}

}  // namespace quantnoise::train
