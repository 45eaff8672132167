#include "quantnoise/base/error.h"
#include "quantnoise/nn/linear.h"

namespace quantnoise::nn {

SlotLayer::~SlotLayer() {
  if (slot_ != nullptr) slot_->remove_owner(this);
}

void SlotLayer::set_slot(std::shared_ptr<quant::WeightSlot> slot) {
  QN_INVARIANT(slot_ == nullptr && slot != nullptr);
  const quant::Representation& representation = slot->representation();
  const at::Tensor parameter = representation.parameter();
  register_parameter(representation.parameter_name(), parameter, parameter.requires_grad());
  slot->add_owner(this);
  slot_ = std::move(slot);
}

at::Tensor SlotLayer::dense_weight() const {
  const quant::Representation& representation = slot_->representation();
  QN_REQUIRE(representation.parameter_name() == "weight", ErrorKind::kConfig, "weight of '", slot_->name(),
             "': found scheme ", representation.scheme(), ", expected a dense weight");
  return representation.parameter();
}

// torch has no rename: the table is written anew so that the order of the parameters stays.
void SlotLayer::replace_registration(const std::string& old_name, const std::string& new_name,
                                     const at::Tensor& parameter) noexcept {
  torch::OrderedDict<std::string, at::Tensor> next(parameters_.key_description());
  for (auto& item : parameters_) {
    const bool replaced = item.key() == old_name;
    next.insert(replaced ? new_name : item.key(), replaced ? parameter : item.value());
  }
  parameters_ = std::move(next);
}

void SlotLayer::tie_to(const SlotLayer& other) {
  const std::shared_ptr<quant::WeightSlot> shared = other.slot();
  QN_INVARIANT(slot_ != nullptr && shared != nullptr);
  if (shared == slot_) return;
  const quant::Representation& own = slot_->representation();
  const quant::Representation& target = shared->representation();
  QN_REQUIRE(own.shape() == target.shape(), ErrorKind::kConfig, "tie of ", layer_type(), " to ",
             other.layer_type(), ": found shape ", at::IntArrayRef(target.shape()), ", expected ",
             at::IntArrayRef(own.shape()));
  QN_REQUIRE(own.zero_row() < 0 || own.zero_row() == target.zero_row(), ErrorKind::kConfig, "tie of ",
             layer_type(), ": its padding row ", own.zero_row(),
             " is not zero in the other weight; tie the other layer to this one instead");
  const std::string old_name = own.parameter_name();
  shared->add_owner(this);
  slot_->remove_owner(this);
  replace_registration(old_name, target.parameter_name(), target.parameter());
  slot_ = shared;
}

}  // namespace quantnoise::nn
