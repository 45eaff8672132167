#pragma once
// Products with weight slots as free functions, for layers that are not Linear or Embedding.

#include <torch/torch.h>

#include <memory>

#include "quantnoise/nn/activation.h"
#include "quantnoise/quant/slot.h"

namespace quantnoise::nn {

/// activation(x Wᵀ + bias) with the slot's value viewed as a matrix (rows, cols). x: (…, cols) → (…, rows) in
/// the compute type. bias: fp32 (rows) or undefined. Gradients: x in its own type; the slot's parameter and
/// the bias in fp32. Relu is part of the product: its gradient is taken in the pass that sums that of the
/// bias.
at::Tensor slot_linear(const at::Tensor& x, const std::shared_ptr<quant::WeightSlot>& slot,
                       const at::Tensor& bias, bool training, Activation activation = Activation::kLinear);

/// x W: (…, rows) → (…, cols), without bias and activation. Otherwise as slot_linear.
at::Tensor slot_linear_transposed(const at::Tensor& x, const std::shared_ptr<quant::WeightSlot>& slot,
                                  bool training);

/// Rows of the slot's value; indices: int64 (…) → (…, rest of the shape), fp32. The slot's zero row gets no
/// gradient. Errors: kData for an index that is not a row.
at::Tensor slot_rows(const at::Tensor& indices, const std::shared_ptr<quant::WeightSlot>& slot,
                     bool training);

}  // namespace quantnoise::nn
