#include "learn/train/checkpoint.h"

#include "learn/train/activation_io.h"
#include "quantnoise/base/error.h"
#include "quantnoise/quant/slot.h"
#include "quantnoise/train/model_io.h"

namespace quantnoise::train {
namespace {

std::string slot_prefix() { return std::string(pack::kTrainingPrefix) + "slot."; }
std::string optimizer_prefix() { return std::string(pack::kTrainingPrefix) + "optimizer."; }

/// Tensors whose names begin with the prefix, under the rest of their names.
std::map<std::string, at::Tensor> tensors_under(const pack::ModelFile& file, const std::string& prefix) {
  std::map<std::string, at::Tensor> tensors;
  for (auto item = file.tensors.lower_bound(prefix);
       item != file.tensors.end() && item->first.starts_with(prefix); ++item) {
    tensors.emplace(item->first.substr(prefix.size()), from_raw_tensor(item->second));
  }
  return tensors;
}

}  // namespace

void add_training_state(pack::ModelFile& file, torch::nn::Module& model, const Optimizer* optimizer,
                        const TrainingState& state) {
  file.kind = "checkpoint";
  for (const quant::NamedSlot& named : quant::named_slots(model)) {
    for (const auto& [key, tensor] : named.slot->representation().training_state()) {
      file.tensors.emplace(slot_prefix() + named.name + "/" + key, to_raw_tensor(tensor));
    }
  }
  add_activation_state(file, model);
  if (optimizer != nullptr) {
    for (const auto& [path, tensor] : optimizer->state()) {
      file.tensors.emplace(optimizer_prefix() + path, to_raw_tensor(tensor));
    }
  }
  file.training_json = to_json(state);
}

void remove_training_state(pack::ModelFile& file) {
  file.kind = "model";
  file.training_json = "{}";
  std::erase_if(file.tensors, [](const auto& item) { return item.first.starts_with(pack::kTrainingPrefix); });
}

namespace {

template <typename Load>
void for_each_slot_state(torch::nn::Module& model, const pack::ModelFile& file, const Load& load) {
  for (const quant::NamedSlot& named : quant::named_slots(model)) {
    const std::map<std::string, at::Tensor> state = tensors_under(file, slot_prefix() + named.name + "/");
    if (state.empty()) continue;
    load(named.slot->representation(), state);
    named.slot->release_cache();
  }
}

}  // namespace

void load_slot_state(torch::nn::Module& model, const pack::ModelFile& file) {
  for_each_slot_state(model, file, [](quant::Representation& representation, const auto& state) {
    representation.load_training_state(state);
  });
}

void load_originals(torch::nn::Module& model, const pack::ModelFile& file) {
  for_each_slot_state(model, file, [](quant::Representation& representation, const auto& state) {
    representation.load_originals(state);
  });
}

void load_optimizer_state(Optimizer& optimizer, const pack::ModelFile& file, int64_t num_updates) {
  const std::map<std::string, at::Tensor> state = tensors_under(file, optimizer_prefix());
  // Plain SGD has no state at all.
  if (state.empty() && num_updates > 0 && optimizer.name() != "sgd") {
    throw Error(ErrorKind::kFormat,
                "the checkpoint holds no optimizer state, so its run cannot be gone on with",
                "start a new run from its weights with --reset-optimizer");
  }
  optimizer.load_state(state);
}

}  // namespace quantnoise::train
