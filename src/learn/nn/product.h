#pragma once
// Matrix products of the layers. fp32 on the CPU goes to oneDNN: torch's own choice there, MKL, is two to
// four times slower on AMD.

#include <torch/torch.h>

namespace quantnoise::nn {

/// x Wᵀ + bias: x (n, in), weight (out, in), bias (out) or undefined, all of one type → (n, out).
at::Tensor product_forward(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);
/// g W: grad (n, out), weight (out, in) → (n, in).
at::Tensor product_input_gradient(const at::Tensor& grad, const at::Tensor& weight);
/// gᵀ x: grad (n, out), x (n, in) → (out, in).
at::Tensor product_weight_gradient(const at::Tensor& grad, const at::Tensor& x);

}  // namespace quantnoise::nn
