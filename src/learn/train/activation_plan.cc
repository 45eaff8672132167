#include "learn/train/activation_plan.h"

#include <algorithm>
#include <regex>
#include <set>

#include "learn/train/scalar_setup.h"
#include "quantnoise/base/error.h"

namespace quantnoise::train {
namespace {

constexpr char kNone[] = "none";

std::regex compile(const std::string& pattern) {
  try {
    return std::regex(pattern);
  } catch (const std::regex_error& error) {
    throw Error(ErrorKind::kConfig,
                str_cat("--scalar-act-exclude '", pattern, "' is not a regular expression: ", error.what()));
  }
}

quant::CalibrationSchedule schedule_of(const config::OptionValues& values) {
  quant::CalibrationSchedule schedule;
  schedule.interval = values.get_int("scalar-update-step");
  schedule.observed_updates = values.has_value("scalar-act-calibration-updates")
                                  ? values.get_int("scalar-act-calibration-updates")
                                  : std::min(schedule.observed_updates, schedule.interval);
  if (values.has_value("scalar-act-freeze-update")) {
    schedule.freeze_update = values.get_int("scalar-act-freeze-update");
  }
  quant::check_schedule(schedule);
  return schedule;
}

}  // namespace

std::vector<std::string> activation_bits_choices() { return {kNone, "2", "3", "4", "5", "6", "7", "8"}; }

int parse_activation_bits(const std::string& text) {
  if (text == kNone) return 0;
  QN_INVARIANT(text.size() == 1 && text[0] >= '2' && text[0] <= '8');
  return text[0] - '0';
}

std::optional<ActivationSetup> activation_setup(const config::OptionValues& values) {
  ActivationSetup setup;
  const double rate = values.get_float("quant-noise-scalar-act");
  const bool has_bits = values.has_value("scalar-act-bits");
  setup.is_explicit = has_bits || rate > 0;
  if (!setup.is_explicit && !scalar_setup(values)) return std::nullopt;
  const int bits = has_bits ? parse_activation_bits(values.get_string("scalar-act-bits")) : 8;
  QN_REQUIRE(bits > 0 || rate == 0, ErrorKind::kConfig, "--quant-noise-scalar-act ", rate,
             " contradicts --scalar-act-bits none");
  if (bits == 0) return setup;
  setup.options.bits = bits;
  setup.options.mode = quant::parse_activation_mode(values.get_string("scalar-act-mode"));
  setup.options.observer = codec::parse_observer(values.get_string("scalar-act-method"));
  setup.options.probability = rate;
  setup.options.clipped = values.get_string("scalar-ste") == "clipped";
  setup.schedule = schedule_of(values);
  setup.noise_start_update = values.get_int("quant-noise-start-update");
  setup.exclude = values.get_string("scalar-act-exclude");
  return setup;
}

std::vector<quant::NamedActivation> inputs_of(torch::nn::Module& model,
                                              const std::vector<std::string>& weights,
                                              const std::string& exclude) {
  const std::set<std::string> wanted(weights.begin(), weights.end());
  const std::regex pattern = compile(exclude);
  std::vector<quant::NamedActivation> inputs = quant::named_activations(model);
  std::erase_if(inputs, [&](const quant::NamedActivation& input) {
    const bool multiplied = std::any_of(input.slots.begin(), input.slots.end(),
                                        [&](const auto& slot) { return wanted.contains(slot->name()); });
    const bool excluded = !exclude.empty() && std::any_of(input.layers.begin(), input.layers.end(),
                                                          [&](const std::string& layer) {
                                                            return std::regex_match(layer, pattern);
                                                          });
    return !multiplied || excluded;
  });
  return inputs;
}

void check_excluded_inputs(torch::nn::Module& model, const std::string& exclude) {
  if (exclude.empty()) return;
  const std::regex pattern = compile(exclude);
  const std::vector<std::string> layers = layers_of(quant::named_activations(model));
  const bool any = std::any_of(layers.begin(), layers.end(),
                               [&](const std::string& layer) { return std::regex_match(layer, pattern); });
  QN_REQUIRE(any, ErrorKind::kConfig, "--scalar-act-exclude '", exclude,
             "' matches no layer (in full: .*NAME.*)");
}

std::vector<std::string> quantized_weights(torch::nn::Module& model) {
  std::vector<std::string> names;
  for (const quant::NamedSlot& named : quant::named_slots(model)) {
    if (named.slot->representation().scheme() != "dense") names.push_back(named.name);
  }
  return names;
}

std::vector<std::string> layers_of(const std::vector<quant::NamedActivation>& inputs) {
  std::vector<std::string> layers;
  for (const auto& input : inputs) layers.insert(layers.end(), input.layers.begin(), input.layers.end());
  return layers;
}

ActivationPlan::ActivationPlan(torch::nn::Module& model) : inputs_(quant::named_activations(model)) {
  std::erase_if(inputs_, [](const quant::NamedActivation& input) { return !input.quantizer->active(); });
  if (!inputs_.empty()) setup_.options = inputs_.front().quantizer->options();
}

ActivationPlan::ActivationPlan(torch::nn::Module& model, const ActivationSetup& setup,
                               const std::vector<std::string>& weights)
    : setup_(setup), trains_(setup.options.mode != quant::ActivationMode::kNone) {
  if (trains_) {
    check_excluded_inputs(model, setup.exclude);
    inputs_ = inputs_of(model, weights, setup.exclude);
  }
  QN_REQUIRE(!trains_ || !setup.is_explicit || !inputs_.empty(), ErrorKind::kConfig,
             "--scalar-act-bits, --quant-noise-scalar-act: there is no input to quantize, because no "
             "product's weight is quantized or has noise",
             setup.exclude.empty() ? "" : " without being left out by --scalar-act-exclude");
  std::set<const quant::ActivationQuantizer*> chosen;
  for (const quant::NamedActivation& input : inputs_) chosen.insert(input.quantizer.get());
  quant::ActivationOptions options = setup.options;
  options.probability = 0;  // until its time comes
  for (const quant::NamedActivation& input : quant::named_activations(model)) {
    input.quantizer->set_options(chosen.contains(input.quantizer.get()) ? options
                                                                        : quant::ActivationOptions());
  }
}

void ActivationPlan::begin_update(int64_t num_updates) {
  if (!trains_) return;
  quant::ActivationOptions options = setup_.options;
  if (num_updates < setup_.noise_start_update) options.probability = 0;
  for (const quant::NamedActivation& input : inputs_) {
    input.quantizer->set_options(options);
    quant::begin_update(*input.quantizer, setup_.schedule, num_updates);
  }
}

std::vector<std::string> ActivationPlan::layers_without_range() const {
  if (setup_.options.mode != quant::ActivationMode::kStatic) return {};
  std::vector<quant::NamedActivation> missing = inputs_;
  std::erase_if(missing,
                [](const quant::NamedActivation& input) { return input.quantizer->grid().has_value(); });
  return layers_of(missing);
}

}  // namespace quantnoise::train
