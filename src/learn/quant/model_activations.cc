// The inputs of a model's products, and what a checkpoint keeps of them.

#include <unordered_map>

#include "learn/quant/modules.h"
#include "quantnoise/base/error.h"
#include "quantnoise/quant/activation.h"

namespace quantnoise::quant {

namespace {

std::vector<NamedActivation> collect_activations(torch::nn::Module& module) {
  std::vector<NamedActivation> inputs;
  std::unordered_map<const ActivationQuantizer*, size_t> position;
  visit_modules(module, "", [&](const std::string& path, torch::nn::Module& part) {
    auto* owner = dynamic_cast<InputOwner*>(&part);
    if (owner == nullptr) return;
    const std::shared_ptr<ActivationQuantizer> quantizer = owner->input_quantizer();
    const auto [found, is_new] = position.try_emplace(quantizer.get(), inputs.size());
    if (is_new) inputs.push_back({path, {}, {}, quantizer});
    NamedActivation& input = inputs[found->second];
    input.layers.push_back(path);
    auto* slots = dynamic_cast<SlotOwner*>(&part);
    if (slots != nullptr) input.slots.push_back(slots->slot());
  });
  return inputs;
}

}  // namespace

std::vector<NamedActivation> named_activations(torch::nn::Module& module) {
  std::vector<NamedActivation> inputs = collect_activations(module);
  for (const NamedActivation& input : inputs) input.quantizer->set_name(input.name);
  return inputs;
}

std::vector<std::string> quantize_activations(torch::nn::Module& module, const ActivationOptions& options) {
  const std::vector<NamedActivation> inputs = collect_activations(module);
  std::vector<std::string> layers;
  for (const NamedActivation& input : inputs) {
    check_activations(options, input.name);
    layers.insert(layers.end(), input.layers.begin(), input.layers.end());
  }
  for (const NamedActivation& input : inputs) {
    // `module` may be a part of a model: paths that the whole model gave stay.
    if (input.quantizer->name().empty()) input.quantizer->set_name(input.name);
    input.quantizer->set_options(options);
  }
  return layers;
}

// ---- calibration while training
// -----------------------------------------------------------------------------------------------------------

void check_schedule(const CalibrationSchedule& schedule) {
  QN_REQUIRE(schedule.observed_updates >= 1, ErrorKind::kConfig, "calibration of activations: found ",
             schedule.observed_updates, " observed updates, expected at least 1");
  QN_REQUIRE(schedule.interval >= schedule.observed_updates, ErrorKind::kConfig,
             "calibration of activations: found ", schedule.observed_updates, " observed updates in every ",
             schedule.interval, ", expected no more than that");
}

// Updates since the last beginning.
int64_t CalibrationSchedule::since_begin(int64_t update) const {
  const int64_t passed = update - first_update;
  if (passed >= interval) return passed % interval;
  if (passed < 2 * observed_updates) return passed;
  int64_t begin = 2 * observed_updates;
  while (2 * begin <= passed) begin *= 2;
  return passed - begin;
}

bool CalibrationSchedule::observes(int64_t update) const {
  const bool frozen = freeze_update >= 0 && update >= freeze_update;
  return update >= first_update && !frozen && since_begin(update) < observed_updates;
}

bool CalibrationSchedule::begins(int64_t update) const {
  return observes(update) && since_begin(update) == 0;
}

void begin_update(ActivationQuantizer& quantizer, const CalibrationSchedule& schedule, int64_t update) {
  using Calibration = ActivationQuantizer::Calibration;
  const bool calibrates = quantizer.calibration() == Calibration::kTraining;
  if (calibrates && quantizer.has_observed() && (!schedule.observes(update) || schedule.begins(update))) {
    quantizer.finish_calibration();
  }
  const bool is_due = schedule.observes(update) || !quantizer.grid();
  if (is_due && quantizer.calibration() == Calibration::kOff)
    quantizer.start_calibration(Calibration::kTraining);
}

}  // namespace quantnoise::quant
