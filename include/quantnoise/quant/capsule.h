#pragma once
// A representation inside an autograd node: saved_data holds IValues only.

#include <torch/torch.h>

#include <memory>
#include <utility>

#include "quantnoise/quant/representation.h"

namespace quantnoise::quant {

struct RepresentationHolder : torch::CustomClassHolder {
  explicit RepresentationHolder(std::shared_ptr<Representation> held) : representation(std::move(held)) {}
  std::shared_ptr<Representation> representation;
};

inline at::IValue capsule(const std::shared_ptr<Representation>& representation) {
  return at::IValue::make_capsule(c10::make_intrusive<RepresentationHolder>(representation));
}

inline std::shared_ptr<Representation> uncapsule(const at::IValue& value) {
  return c10::static_intrusive_pointer_cast<RepresentationHolder>(value.toCapsule())->representation;
}

}  // namespace quantnoise::quant
