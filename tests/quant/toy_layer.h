#pragma once
// The smallest owner of a slot, for tests below the layers.

#include <torch/torch.h>

#include <map>
#include <memory>
#include <string>

#include "quantnoise/quant/slot.h"

namespace quantnoise::quant {

class ToyLayerImpl : public torch::nn::Module, public SlotOwner {
 public:
  ToyLayerImpl(std::shared_ptr<WeightSlot> slot, std::string type)
      : slot_(std::move(slot)), type_(std::move(type)) {
    register_parameter(slot_->representation().parameter_name(), slot_->representation().parameter());
    register_parameter("bias", torch::zeros({slot_->representation().shape()[0]}));
    slot_->add_owner(this);
  }
  ToyLayerImpl(int64_t rows, int64_t cols, std::string type = "Linear", int64_t zero_row = -1)
      : ToyLayerImpl(std::make_shared<WeightSlot>(make_dense(torch::randn({rows, cols}), zero_row)),
                     std::move(type)) {}
  ~ToyLayerImpl() override { slot_->remove_owner(this); }

  void replace_registration(const std::string& old_name, const std::string& new_name,
                            const at::Tensor& parameter) noexcept override {
    torch::OrderedDict<std::string, at::Tensor> next;
    for (auto& item : parameters_) {
      const bool replaced = item.key() == old_name;
      next.insert(replaced ? new_name : item.key(), replaced ? parameter : item.value());
    }
    parameters_ = std::move(next);
  }
  std::shared_ptr<WeightSlot> slot() const override { return slot_; }
  std::string layer_type() const override { return type_; }
  std::map<std::string, std::string> attributes() const override {
    const std::string cols = std::to_string(slot_->representation().shape()[1]);
    return {{"in_features", cols}, {"embedding_dim", cols}};
  }

 private:
  std::shared_ptr<WeightSlot> slot_;
  std::string type_;
};
TORCH_MODULE(ToyLayer);

/// decoder.embed_tokens (30 × 16, padding row 1), decoder.layers.{0,1}.{fc1,fc2}, decoder.output_projection
/// tied to the embedding.
struct ToyModelImpl : torch::nn::Module {
  ToyModelImpl() {
    auto decoder = register_module("decoder", std::make_shared<torch::nn::Module>("decoder"));
    embed = decoder->register_module("embed_tokens", ToyLayer(30, 16, "Embedding", 1));
    auto layers = decoder->register_module("layers", std::make_shared<torch::nn::Module>("layers"));
    for (int i = 0; i < 2; ++i) {
      auto layer = layers->register_module(std::to_string(i), std::make_shared<torch::nn::Module>("layer"));
      fc.push_back(layer->register_module("fc1", ToyLayer(32, 16)));
      fc.push_back(layer->register_module("fc2", ToyLayer(16, 32)));
    }
    output = decoder->register_module("output_projection", ToyLayer(embed->slot(), "Linear"));
  }
  ToyLayer embed{nullptr}, output{nullptr};
  std::vector<ToyLayer> fc;
};
TORCH_MODULE(ToyModel);

}  // namespace quantnoise::quant
