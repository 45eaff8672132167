#pragma once
// Which weights get noise, and from when on.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "quantnoise/config/options.h"
#include "quantnoise/quant/slot.h"

namespace quantnoise::train {

struct NoisePlanOptions {
  quant::NoiseOptions noise;
  std::optional<double> embedding_probability;  ///< another rate for embeddings
  int64_t start_update = 0;
  std::string include;  ///< regular expression, matched in full against paths; empty: all
  std::string exclude;  ///< the same; empty: none
};
/// Errors: kConfig for a broken regular expression or a rate the kind cannot have.
NoisePlanOptions noise_plan_options(const config::OptionValues& values);

/// The noise of a model's dense weights. Product-quantized weights have none.
class NoisePlan {
 public:
  NoisePlan() = default;
  /// Errors: kConfig naming the layer when a block size does not divide it, or a pattern matches nothing.
  NoisePlan(torch::nn::Module& model, const NoisePlanOptions& options);

  /// Before every update: turns the noise on when its time has come.
  void begin_update(int64_t num_updates);
  /// After an exchange: quantized weights lose their noise.
  void drop_quantized();

  /// Names of the weights that get noise, and of those that do not, in the order of the model.
  std::vector<std::string> noised() const { return names(true); }
  std::vector<std::string> untouched() const { return names(false); }

 private:
  struct Entry {
    std::string name;
    std::shared_ptr<quant::WeightSlot> slot;
    quant::NoiseOptions noise;
    bool noised = false;
  };

  std::vector<std::string> names(bool noised) const;

  std::vector<Entry> entries_;
  int64_t start_update_ = 0;
  bool started_ = false;
};

}  // namespace quantnoise::train
