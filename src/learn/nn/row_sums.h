#pragma once
// What the gradient of a bias costs: one pass over the rows, with the gradient of relu in the same pass.

#include <torch/torch.h>

namespace quantnoise::nn {

/// Σ over the rows: (rows, cols) float or bfloat16 → (cols) fp32. The same bits for any number of threads.
at::Tensor sum_rows(const at::Tensor& x);

struct ReluGradient {
  at::Tensor gradient;  ///< 0 where `result` is, else `grad`
  at::Tensor row_sum;   ///< sum_rows(gradient)
};

/// grad, result: (rows, cols), both of one type.
ReluGradient relu_gradient(const at::Tensor& grad, const at::Tensor& result);

}  // namespace quantnoise::nn
