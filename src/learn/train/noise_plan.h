#pragma once
// Which weights get noise, and from when on.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "quantnoise/config/options.h"
#include "quantnoise/quant/layer_filter.h"
#include "quantnoise/quant/slot.h"

namespace quantnoise::train {

struct NoisePlanOptions {
  quant::NoiseOptions noise;                    ///< of blocks, and of elements
  std::optional<double> embedding_probability;  ///< another rate of blocks for embeddings
  int64_t start_update = 0;
  quant::LayerFilter blocks;    ///< layers that get noise on blocks
  quant::LayerFilter elements;  ///< layers that get noise on elements, where they have an int-N grid
};
/// Errors: kConfig for a broken regular expression or a rate the kind cannot have.
NoisePlanOptions noise_plan_options(const config::OptionValues& values);

/// The noise of a model's weights. Each gets what its representation takes: blocks are noised while the
/// weight itself is trained, elements where there is an int-N grid (of the weight or of its centroids).
class NoisePlan {
 public:
  NoisePlan() = default;
  /// Errors: kConfig naming the layer when a block size does not divide it, or a pattern matches nothing.
  NoisePlan(torch::nn::Module& model, const NoisePlanOptions& options);

  /// Before every update: turns the noise on when its time has come.
  void begin_update(int64_t num_updates);

  /// Names of the weights whose blocks get noise as the model is now, and of those whose do not, in the order
  /// of the model.
  std::vector<std::string> noised() const { return names(has_block_noise, true); }
  std::vector<std::string> untouched() const { return names(has_block_noise, false); }
  /// The same of single elements.
  std::vector<std::string> scalar_noised() const { return names(has_scalar_noise, true); }
  std::vector<std::string> scalar_untouched() const { return names(has_scalar_noise, false); }

 private:
  struct Entry {
    std::string name;
    std::shared_ptr<quant::WeightSlot> slot;
    quant::NoiseOptions noise;
  };

  static bool has_block_noise(const Entry& entry);
  static bool has_scalar_noise(const Entry& entry);
  std::vector<std::string> names(bool (*has_noise)(const Entry&), bool wanted) const;

  std::vector<Entry> entries_;
  int64_t start_update_ = 0;
  bool started_ = false;
};

}  // namespace quantnoise::train
