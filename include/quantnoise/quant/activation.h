#pragma once
// Quantized inputs of matrix products: where they are quantized, how, and how their ranges are found.
//
//   static:   one affine grid for all that passes, calibrated before: code and value as codec/affine.h
//   dynamic:  every row (last dimension) on the grid of its own smallest and largest value
//
// What lies outside a static grid's range clips to its end. Evaluation quantizes every element and changes
// nothing here, so it depends neither on the order nor on the size of batches. Training quantizes an element
// when its draw says so and leaves the others as they are; the gradient goes straight through to all of them,
// whether drawn or not: with a rate below 1 an element outside the range is still seen unclipped most of the
// time, and its gradient must not depend on the draw. With `clipped` (the reference's rule) elements that are
// not drawn are clipped to the range too, and those outside get no gradient.

#include <torch/torch.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "quantnoise/codec/affine_noise.h"
#include "quantnoise/codec/observer.h"
#include "quantnoise/quant/slot.h"

namespace quantnoise::quant {

enum class ActivationMode { kNone, kStatic, kDynamic };

/// "none", "static", "dynamic". Errors: kConfig naming the choices.
ActivationMode parse_activation_mode(const std::string& name);
std::string activation_mode_name(ActivationMode mode);

struct ActivationOptions {
  ActivationMode mode = ActivationMode::kNone;
  int bits = 8;                                            ///< 2 … 8
  codec::Observer observer = codec::Observer::kHistogram;  ///< kStatic: kHistogram or kTensor
  double probability = 0;  ///< of an element to be quantized in training, [0, 1]
  bool clipped = false;    ///< kStatic: the reference's straight-through rule, see above

  bool operator==(const ActivationOptions&) const = default;
};
/// Errors: kConfig naming `name` for what is out of range.
void check_activations(const ActivationOptions& options, const std::string& name);

/// The quantizer of one input. Layers that read the same tensor (q, k and v of self-attention) share one, as
/// layers that are tied share a weight slot. Not thread-safe.
class ActivationQuantizer {
 public:
  /// Path of the first layer that reads this input; its hash numbers the random stream.
  const std::string& name() const { return name_; }
  void set_name(std::string name);

  /// A range that was found stays as long as it fits: of the same mode and number of bits. Errors: kConfig.
  void set_options(const ActivationOptions& options);
  const ActivationOptions& options() const { return options_; }
  bool active() const { return options_.mode != ActivationMode::kNone; }

  /// What the product reads: x (…, features), fp32 or bf16, as it is or quantized to the compute type. A
  /// static quantizer without a range lets everything pass. Errors: kNumeric naming the layer for a NaN or
  /// infinity that an observer or a dynamic row meets.
  at::Tensor apply(const at::Tensor& x, bool training);

  // Ranges of kStatic; nothing here has an effect on the other modes.
  enum class Calibration {
    kOff,
    kTraining,    ///< observes what passes in training; the former range, if any, is in use until the end
    kEvaluation,  ///< observes what passes in evaluation, and lets it pass unquantized
  };
  Calibration calibration() const { return calibration_; }
  /// Whether the calibration under way has met a value.
  bool has_observed() const { return observer_ && !observer_->empty(); }
  /// Begins anew: what was observed before is forgotten.
  void start_calibration(Calibration calibration);
  /// The range of what was observed is in use from now on; nothing observed: the former one stays.
  void finish_calibration();
  /// The grid of evaluation: the calibrated one, while the first calibration is under way that of what was
  /// observed so far. Nothing: no range yet, or another mode.
  std::optional<codec::AffineGrid> grid() const;
  /// Ends a calibration. Errors: kConfig for a grid that does not fit the mode and bits.
  void set_grid(const codec::AffineGrid& grid);

  /// Range and observer: name → tensor; what a checkpoint needs to go on bit for bit.
  std::map<std::string, at::Tensor> training_state() const;
  /// A state of other bits or another observer is passed over. Errors: kFormat.
  void load_training_state(const std::map<std::string, at::Tensor>& state);

 private:
  void observe(const at::Tensor& x);
  codec::AffineNoiseSpec noise_spec(bool training) const;
  at::Tensor quantized(const at::Tensor& x, const codec::AffineGrid& grid, bool training) const;
  at::Tensor quantized_rows(const at::Tensor& x, bool training) const;

  std::string name_;
  uint64_t name_hash_ = 0;
  ActivationOptions options_;
  std::optional<codec::AffineGrid> grid_;  // calibrated
  Calibration calibration_ = Calibration::kOff;
  std::optional<codec::RunningObserver> observer_;   // while calibrating
  mutable std::optional<codec::AffineGrid> so_far_;  // of the observer; empty when it has seen more since
};

/// Implemented by layers that multiply an input with their weight (through ProductLayer in nn).
class InputOwner {
 public:
  virtual ~InputOwner() = default;
  virtual std::shared_ptr<ActivationQuantizer> input_quantizer() const = 0;
};

/// One input of a model with the layers that read it.
struct NamedActivation {
  std::string name;                                ///< path of the first layer in registration order
  std::vector<std::string> layers;                 ///< paths of all of them, the first included
  std::vector<std::shared_ptr<WeightSlot>> slots;  ///< their weights
  std::shared_ptr<ActivationQuantizer> quantizer;
};

/// All inputs of products in registration order; sets each quantizer's name. Paths that a whole model gave
/// stay when `module` is a part of it (named_slots() does the same).
std::vector<NamedActivation> named_activations(torch::nn::Module& module);

/// Quantizes the inputs of all products under `module`, on all of them or, when an option is out of range, on
/// none. Returns the paths of the layers. Static ranges are still to be calibrated.
std::vector<std::string> quantize_activations(torch::nn::Module& module, const ActivationOptions& options);

/// When ranges are observed while training goes on: a function of the update count alone. Calibrations of
/// `observed_updates` (N) updates begin with the first update and those at multiples of `interval`; in the
/// first interval, where values change fastest, also at 2 N, 4 N, 8 N, … The last range stays from
/// `freeze_update` on.
struct CalibrationSchedule {
  int64_t observed_updates = 32;
  int64_t interval = 1000;     ///< at least observed_updates
  int64_t freeze_update = -1;  ///< −1: never
  int64_t first_update = 0;    ///< updates are counted from here

  /// Whether a calibration is under way in this update.
  bool observes(int64_t update) const;
  /// Whether one begins with it.
  bool begins(int64_t update) const;

 private:
  int64_t since_begin(int64_t update) const;
};
/// Errors: kConfig for numbers out of range.
void check_schedule(const CalibrationSchedule& schedule);

/// Before every update of a training loop: begins and ends the calibration of an active quantizer. One that
/// has observed nothing (a layer that was left out, a band without a word) goes on until it has.
void begin_update(ActivationQuantizer& quantizer, const CalibrationSchedule& schedule, int64_t update);

}  // namespace quantnoise::quant
