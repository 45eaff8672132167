#include "learn/train/noise_plan.h"

#include <algorithm>
#include <regex>

#include "quantnoise/base/error.h"

namespace quantnoise::train {
namespace {

std::regex compile(const char* option, const std::string& pattern) {
  try {
    return std::regex(pattern);
  } catch (const std::regex_error& error) {
    throw Error(ErrorKind::kConfig,
                str_cat(option, " '", pattern, "' is not a regular expression: ", error.what()));
  }
}

/// Matches the canonical path or any other end of a tie.
bool matches(const quant::NamedSlot& slot, const std::regex& pattern) {
  return std::regex_match(slot.name, pattern) ||
         std::any_of(slot.aliases.begin(), slot.aliases.end(),
                     [&](const std::string& alias) { return std::regex_match(alias, pattern); });
}

bool takes_noise(const quant::WeightSlot& slot) { return slot.representation().takes_noise(); }

}  // namespace

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
  options.include = values.get_string("quant-noise-include");
  options.exclude = values.get_string("quant-noise-exclude");
  return options;
}

NoisePlan::NoisePlan(torch::nn::Module& model, const NoisePlanOptions& options)
    : start_update_(options.start_update) {
  const std::regex include =
      compile("--quant-noise-include", options.include.empty() ? ".*" : options.include);
  const std::regex exclude = compile("--quant-noise-exclude", options.exclude);
  bool any_included = false;
  for (const quant::NamedSlot& named : quant::named_slots(model)) {
    Entry entry{named.name, named.slot, options.noise, false};
    if (named.owner->layer_type() == "Embedding" && options.embedding_probability) {
      entry.noise.probability = *options.embedding_probability;
    }
    const bool included = matches(named, include);
    any_included = any_included || included;
    const bool excluded = !options.exclude.empty() && matches(named, exclude);
    entry.noised = included && !excluded && takes_noise(*named.slot) && entry.noise.active();
    // Set once here, so that what does not fit is refused before any work; then off until its time comes.
    if (entry.noised) named.slot->set_noise(entry.noise);
    named.slot->set_noise({});
    entries_.push_back(std::move(entry));
  }
  QN_REQUIRE(any_included, ErrorKind::kConfig, "--quant-noise-include '", options.include,
             "' matches no layer");
}

void NoisePlan::begin_update(int64_t num_updates) {
  if (started_ || num_updates < start_update_) return;
  for (Entry& entry : entries_) {
    if (entry.noised) entry.slot->set_noise(entry.noise);
  }
  started_ = true;
}

void NoisePlan::drop_quantized() {
  for (Entry& entry : entries_) {
    if (!entry.noised || takes_noise(*entry.slot)) continue;
    entry.slot->set_noise({});
    entry.noised = false;
  }
}

std::vector<std::string> NoisePlan::names(bool noised) const {
  std::vector<std::string> names;
  for (const Entry& entry : entries_) {
    if (entry.noised == noised) names.push_back(entry.name);
  }
  return names;
}

}  // namespace quantnoise::train
