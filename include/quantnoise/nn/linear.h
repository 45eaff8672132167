#pragma once
// Linear and Embedding on weight slots: torch::nn's interface, exchangeable weights. The products run in the
// compute type (quant/context.h); gradients of weights leave in fp32.

#include <torch/torch.h>

#include <map>
#include <memory>
#include <string>

#include "quantnoise/nn/activation.h"
#include "quantnoise/quant/activation.h"
#include "quantnoise/quant/slot.h"

namespace quantnoise::nn {

/// Base of layers with one slot: registers the slot's trainable tensor and keeps the registration when it
/// changes.
class SlotLayer : public torch::nn::Module, public quant::SlotOwner {
 public:
  ~SlotLayer() override;
  SlotLayer(const SlotLayer&) = delete;  // a copy would share the slot without being one of its owners
  SlotLayer& operator=(const SlotLayer&) = delete;
  std::shared_ptr<quant::WeightSlot> slot() const override { return slot_; }
  void replace_registration(const std::string& old_name, const std::string& new_name,
                            const at::Tensor& parameter) noexcept override;
  /// Shares the other layer's slot: a tie. The own slot is dropped; the shared tensor is registered here too,
  /// under its own name. Errors: kConfig when the shapes differ, or when this layer has a padding row that
  /// the other's weight lacks.
  void tie_to(const SlotLayer& other);

 protected:
  SlotLayer() = default;
  void set_slot(std::shared_ptr<quant::WeightSlot> slot);
  /// The stored tensor. Errors: kConfig when the slot is not dense.
  at::Tensor dense_weight() const;

 private:
  std::shared_ptr<quant::WeightSlot> slot_;
};

/// A layer that multiplies its input with its weight; the input may be quantized on the way there.
class ProductLayer : public SlotLayer, public quant::InputOwner {
 public:
  std::shared_ptr<quant::ActivationQuantizer> input_quantizer() const override { return input_; }
  /// The input as the product reads it: for callers that multiply with the slot themselves, or that give one
  /// input to several layers.
  at::Tensor quantized(const at::Tensor& input) { return input_->apply(input, is_training()); }
  /// From now on this layer reads the same input as the other one: one range, one draw for both.
  void share_input(const ProductLayer& other) { input_ = other.input_; }

 private:
  std::shared_ptr<quant::ActivationQuantizer> input_ = std::make_shared<quant::ActivationQuantizer>();
};

struct LinearOptions {
  LinearOptions(int64_t in_features, int64_t out_features)
      : in_features_(in_features), out_features_(out_features) {}
  TORCH_ARG(int64_t, in_features);
  TORCH_ARG(int64_t, out_features);
  TORCH_ARG(bool, bias) = true;
};

/// y = x Wᵀ + b; x: (…, in_features), y: (…, out_features) in the compute type. Default initialisation as
/// torch's Linear.
class LinearImpl : public ProductLayer {
 public:
  LinearImpl(int64_t in_features, int64_t out_features, bool bias = true)
      : LinearImpl(LinearOptions(in_features, out_features).bias(bias)) {}
  explicit LinearImpl(const LinearOptions& options);
  at::Tensor forward(const at::Tensor& input) { return product(quantized(input)); }
  /// The product alone, for an input that was quantized before.
  at::Tensor product(const at::Tensor& input);
  /// dropout(activation(forward(input)), p, stream) in as few passes as can be.
  at::Tensor activated(const at::Tensor& input, Activation activation, double p,
                       const base::RandomStream& stream);
  std::string layer_type() const override { return "Linear"; }
  std::map<std::string, std::string> attributes() const override;
  /// The dense weight as a plain tensor (for initialisation); only while the slot is dense.
  at::Tensor weight() const;
  at::Tensor bias() const { return bias_; }
  const LinearOptions& options() const { return options_; }

 private:
  LinearOptions options_;
  at::Tensor bias_;
};
TORCH_MODULE(Linear);

/// y = x W with the weight W (in_features, out_features) of another layer, which computes x Wᵀ: a tie to its
/// transpose.
class TransposedLinearImpl : public ProductLayer {
 public:
  explicit TransposedLinearImpl(const SlotLayer& owner) { set_slot(owner.slot()); }
  /// input: (…, rows of W) → (…, columns of W) in the compute type.
  at::Tensor forward(const at::Tensor& input);
  std::string layer_type() const override { return "Linear"; }
  std::map<std::string, std::string> attributes() const override;
};
TORCH_MODULE(TransposedLinear);

struct EmbeddingOptions {
  EmbeddingOptions(int64_t num_embeddings, int64_t embedding_dim)
      : num_embeddings_(num_embeddings), embedding_dim_(embedding_dim) {}
  TORCH_ARG(int64_t, num_embeddings);
  TORCH_ARG(int64_t, embedding_dim);
  TORCH_ARG(int64_t, padding_idx) = -1;
};

/// Rows of the table; indices int64 (…) → (…, embedding_dim) fp32. The padding row is zero and stays zero.
class EmbeddingImpl : public SlotLayer {
 public:
  explicit EmbeddingImpl(const EmbeddingOptions& options);
  at::Tensor forward(const at::Tensor& indices);
  std::string layer_type() const override { return "Embedding"; }
  std::map<std::string, std::string> attributes() const override;
  at::Tensor weight() const;
  const EmbeddingOptions& options() const { return options_; }

 private:
  EmbeddingOptions options_;
};
TORCH_MODULE(Embedding);

}  // namespace quantnoise::nn
