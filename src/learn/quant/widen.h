#pragma once
// Gradients that leave a bf16 product, in fp32.

#include <torch/torch.h>

namespace quantnoise::quant {

/// grad in fp32 and with this shape. What comes from bf16 is written past the caches, since the optimizer
/// reads it much later, and is no view, so that torch may add to it in place.
at::Tensor widened_gradient(const at::Tensor& grad, at::IntArrayRef shape);

}  // namespace quantnoise::quant
