// Walks over a model: its slots, its parameters, its noise.

#include <unordered_map>
#include <unordered_set>

#include "learn/quant/modules.h"
#include "quantnoise/base/error.h"
#include "quantnoise/quant/slot.h"

namespace quantnoise::quant {

namespace {

std::vector<NamedSlot> collect_slots(torch::nn::Module& model) {
  std::vector<NamedSlot> slots;
  std::unordered_map<const WeightSlot*, size_t> position;
  visit_modules(model, "", [&](const std::string& path, torch::nn::Module& module) {
    auto* owner = dynamic_cast<SlotOwner*>(&module);
    if (owner == nullptr || owner->slot() == nullptr) return;
    const auto [found, is_new] = position.try_emplace(owner->slot().get(), slots.size());
    if (is_new) {
      slots.push_back({path, {}, owner->slot(), owner});
    } else {
      slots[found->second].aliases.push_back(path);
    }
  });
  return slots;
}

}  // namespace

std::vector<NamedSlot> named_slots(torch::nn::Module& model) {
  std::vector<NamedSlot> slots = collect_slots(model);
  for (const NamedSlot& slot : slots) slot.slot->set_name(slot.name);
  return slots;
}

std::vector<NamedParameter> unique_parameters(const torch::nn::Module& model) {
  std::vector<NamedParameter> parameters;
  std::unordered_set<const at::TensorImpl*> seen;
  // Nothing is changed through the visitor; torch's children are not const.
  visit_modules(const_cast<torch::nn::Module&>(model), "",
                [&](const std::string& path, torch::nn::Module& module) {
                  for (const auto& item : module.named_parameters(/*recurse=*/false)) {
                    if (!item.value().defined() || !seen.insert(item.value().unsafeGetTensorImpl()).second)
                      continue;
                    parameters.push_back({path.empty() ? item.key() : path + "." + item.key(), item.value()});
                  }
                });
  return parameters;
}

int64_t count_parameters(torch::nn::Module& model) {
  std::unordered_map<const at::TensorImpl*, int64_t> dense_size;
  for (const NamedSlot& slot : collect_slots(model)) {
    const Representation& representation = slot.slot->representation();
    const MatrixShape shape = matrix_shape(representation.shape());
    dense_size[representation.parameter().unsafeGetTensorImpl()] = shape.rows * shape.cols;
  }
  int64_t count = 0;
  for (const NamedParameter& parameter : unique_parameters(model)) {
    const auto found = dense_size.find(parameter.tensor.unsafeGetTensorImpl());
    count += found == dense_size.end() ? parameter.tensor.numel() : found->second;
  }
  return count;
}

std::vector<std::string> quant_noise(torch::nn::Module& module, double p, int block_size) {
  NoiseOptions options;
  options.kind = NoiseKind::kPq;
  options.probability = p;
  options.block_size = block_size;
  return quant_noise(module, options);
}

std::vector<std::string> quant_noise(torch::nn::Module& module, const NoiseOptions& options) {
  const std::vector<NamedSlot> slots = collect_slots(module);
  for (const NamedSlot& slot : slots) {
    check_noise(options, matrix_shape(slot.slot->representation().shape()).cols, slot.name);
  }
  std::vector<std::string> noised;
  for (const NamedSlot& slot : slots) {
    // `module` may be a part of a model: paths that the whole model gave stay.
    if (slot.slot->name().empty()) slot.slot->set_name(slot.name);
    slot.slot->set_noise(options);
    if (slot.slot->representation().effective(options).active()) noised.push_back(slot.name);
  }
  return noised;
}

}  // namespace quantnoise::quant
