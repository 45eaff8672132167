#pragma once
// Which inputs of products are quantized in a run, and when their ranges are calibrated.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "quantnoise/config/options.h"
#include "quantnoise/quant/activation.h"

namespace quantnoise::train {

struct ActivationSetup {
  quant::ActivationOptions options;
  quant::CalibrationSchedule schedule;
  int64_t noise_start_update = 0;
  std::string exclude;       ///< regular expression, matched in full against layer names; empty: none
  bool is_explicit = false;  ///< asked for, not only implied by quantized weights
};

/// Of --scalar-act-… and --quant-noise-scalar-act; mode kNone for "none". Nothing when the options do not
/// tell: a model then stays as its file has it. Errors: kConfig for options that contradict each other.
std::optional<ActivationSetup> activation_setup(const config::OptionValues& values);

/// What --scalar-act-bits takes.
std::vector<std::string> activation_bits_choices();
/// 0 for "none".
int parse_activation_bits(const std::string& text);

/// The inputs of those products whose weight is among `weights` (canonical layer paths), less those of which
/// a layer matches `exclude`. Errors: kConfig for a broken regular expression.
std::vector<quant::NamedActivation> inputs_of(torch::nn::Module& model,
                                              const std::vector<std::string>& weights,
                                              const std::string& exclude);
/// Errors: kConfig for an `exclude` that is no regular expression or matches no layer that has an input.
void check_excluded_inputs(torch::nn::Module& model, const std::string& exclude);
/// Canonical paths of the weights that have a grid or a codebook.
std::vector<std::string> quantized_weights(torch::nn::Module& model);
/// Paths of all layers that read these inputs.
std::vector<std::string> layers_of(const std::vector<quant::NamedActivation>& inputs);

/// The quantized inputs of a training run.
class ActivationPlan {
 public:
  ActivationPlan() = default;
  /// What the model's file says stays as it is: ranges are not found anew.
  explicit ActivationPlan(torch::nn::Module& model);
  /// The inputs of products with these weights are quantized, no others. Errors: as inputs_of(); kConfig when
  /// they were asked for and there is none.
  ActivationPlan(torch::nn::Module& model, const ActivationSetup& setup,
                 const std::vector<std::string>& weights);

  /// Before every update: calibrations begin and end, noise begins.
  void begin_update(int64_t num_updates);
  /// Counts the calibration schedule from this update on: weights changed by other means than training.
  void begin_stage(int64_t num_updates) { setup_.schedule.first_update = num_updates; }

  const std::vector<quant::NamedActivation>& inputs() const { return inputs_; }
  const ActivationSetup& setup() const { return setup_; }
  /// Whether ranges are calibrated and noise is made here.
  bool trains() const { return trains_; }
  /// Layers whose input should be quantized and is not: no value has ever reached them.
  std::vector<std::string> layers_without_range() const;

 private:
  ActivationSetup setup_;
  bool trains_ = false;
  std::vector<quant::NamedActivation> inputs_;
};

}  // namespace quantnoise::train
