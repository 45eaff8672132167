#pragma once
// Weight slots: layers own a slot, not a tensor. A tie is two layers sharing one slot. The slot's
// representation can be exchanged while the layers, their names and their callers stay as they are.

#include <torch/torch.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "quantnoise/quant/context.h"
#include "quantnoise/quant/representation.h"

namespace quantnoise::quant {

/// Implemented by layers that own a slot (through SlotLayer in nn).
class SlotOwner {
 public:
  virtual ~SlotOwner() = default;
  /// Replaces the registered parameter `old_name` by `parameter` under `new_name`. Must not throw.
  virtual void replace_registration(const std::string& old_name, const std::string& new_name,
                                    const at::Tensor& parameter) noexcept = 0;
  virtual std::shared_ptr<class WeightSlot> slot() const = 0;
  /// "Linear", "Embedding", "Conv2d": the class names of the quantization configuration.
  virtual std::string layer_type() const = 0;
  /// Attributes that the configuration may key on, as Python prints them: in_features, out_features,
  /// num_embeddings, embedding_dim, kernel_size.
  virtual std::map<std::string, std::string> attributes() const = 0;
};

class WeightSlot : public std::enable_shared_from_this<WeightSlot> {
 public:
  explicit WeightSlot(std::shared_ptr<Representation> representation);

  /// Canonical path of the weight's layer (`decoder.layers.0.fc1`); its hash numbers the random stream.
  const std::string& name() const { return name_; }
  void set_name(std::string name);

  const Representation& representation() const { return *representation_; }
  Representation& representation() { return *representation_; }
  /// For a backward pass: outlives an exchange between the two passes.
  std::shared_ptr<Representation> shared_representation() const { return representation_; }
  /// Puts another representation of the same shape in place and rewrites the registration of every owner: all
  /// or nothing. Whether the parameter requires a gradient is kept. Errors: kConfig naming the slot and both
  /// shapes.
  void exchange(std::shared_ptr<Representation> next);

  void add_owner(SlotOwner* owner);
  void remove_owner(SlotOwner* owner);
  const std::vector<SlotOwner*>& owners() const { return owners_; }

  /// Noise is a property of the slot, so both ends of a tie see the same. What the representation does not
  /// take rests until an exchange. Errors: kConfig naming the slot when the block size does not divide the
  /// columns or a probability is out of range.
  void set_noise(const NoiseOptions& options);
  const NoiseOptions& noise() const { return noise_; }

  /// The value to multiply with, at the current noise clock and compute type `type`; no gradient. Computed
  /// once an update and micro-batch (or once a change of the parameter) and shared by all uses; dropped by
  /// release_cache(). torch's fused optimizers change a tensor without counting it: after them the clock must
  /// move, or the version be bumped.
  at::Tensor value(bool training, at::ScalarType type);
  at::Tensor rows(const at::Tensor& indices, bool training);
  /// The dense value as a differentiable fp32 tensor (straight-through to the parameter), for uses without a
  /// fused function of their own.
  at::Tensor differentiable(bool training);

  void release_cache();

 private:
  // What a cached value was computed for.
  struct CacheKey {
    NoiseClock clock;
    bool training = false;
    at::ScalarType type = at::kFloat;
    uint32_t version = 0;
    const void* data = nullptr;

    bool operator==(const CacheKey&) const = default;
  };

  bool noised(bool training) const { return training && representation_->effective(noise_).active(); }
  template <typename Compute>
  at::Tensor naming_errors(const Compute& compute) const;
  WeightUse use(bool training, at::ScalarType type) const;
  CacheKey cache_key(bool training, at::ScalarType type) const;
  bool is_cached(const CacheKey& key) const;

  std::string name_;
  uint64_t name_hash_ = 0;
  uint64_t element_hash_ = base::hash_name(".elements");  // of the draws of single elements
  std::shared_ptr<Representation> representation_;
  std::vector<SlotOwner*> owners_;
  NoiseOptions noise_;
  at::Tensor cached_;
  CacheKey cached_key_;
};

/// One slot of a model with the paths of its owners, canonical (first registered) path first.
struct NamedSlot {
  std::string name;                  ///< canonical layer path
  std::vector<std::string> aliases;  ///< paths of the other ends of a tie
  std::shared_ptr<WeightSlot> slot;
  SlotOwner* owner = nullptr;  ///< the layer at `name`
};

/// All slots in registration order; sets each slot's name to its canonical path.
std::vector<NamedSlot> named_slots(torch::nn::Module& model);

struct NamedParameter {
  std::string name;
  at::Tensor tensor;
};
/// Every registered parameter once, under its canonical name, in registration order. Ties are listed once.
std::vector<NamedParameter> unique_parameters(const torch::nn::Module& model);

/// Σ numel of unique_parameters with dense weights counted at their dense size.
int64_t count_parameters(torch::nn::Module& model);

/// Throws kConfig naming `name` and both numbers unless the options are in range and the block size divides
/// the columns.
void check_noise(const NoiseOptions& options, int64_t cols, const std::string& name);

/// Sets noise on every slot under `module` (the reference's entry point): on all of them or, when one
/// refuses, on none. Returns the paths of the noised layers.
std::vector<std::string> quant_noise(torch::nn::Module& module, double p, int block_size);
std::vector<std::string> quant_noise(torch::nn::Module& module, const NoiseOptions& options);

}  // namespace quantnoise::quant
