#include "learn/nn/row_sums.h"

#include "learn/nn/element_passes.h"
#include "quantnoise/kernels/gradient.h"

namespace quantnoise::nn {

namespace {

bool has_kernel(const at::Tensor& x) { return x.is_cpu() && (x.scalar_type() == at::kFloat || is_half(x)); }

/// Σ of what body(first row, rows, sums) adds to sums for parts that together are all rows. The parts depend
/// on the shape alone.
template <typename Body>
at::Tensor sum_parts(int64_t rows, int64_t cols, const Body& body) {
  constexpr int64_t kMostParts = 16, kLeastRows = 32;
  const int64_t part_rows = std::max(kLeastRows, (rows + kMostParts - 1) / kMostParts);
  const int64_t parts = std::max<int64_t>(1, (rows + part_rows - 1) / part_rows);
  const at::Tensor sums = at::zeros({parts, cols}, at::kFloat);
  at::parallel_for(0, parts, 1, [&](int64_t begin, int64_t end) {
    for (int64_t part = begin; part < end; ++part) {
      const int64_t first = part * part_rows;
      body(first, std::min(part_rows, rows - first), mutable_floats(sums) + part * cols);
    }
  });
  const at::Tensor total = at::zeros({cols}, at::kFloat);
  kernels::gradient_kernels().add_rows_f32(floats(sums), parts, cols, mutable_floats(total));
  return total;
}

}  // namespace

at::Tensor sum_rows(const at::Tensor& x) {
  if (!has_kernel(x)) return at::sum(x, {0}, /*keepdim=*/false, at::kFloat);
  const at::Tensor matrix = x.contiguous();
  const int64_t cols = matrix.size(1);
  const auto& kernel = kernels::gradient_kernels();
  return sum_parts(matrix.size(0), cols, [&](int64_t first, int64_t rows, float* sums) {
    if (is_half(matrix)) {
      kernel.add_rows_bf16(halves(matrix) + first * cols, rows, cols, sums);
    } else {
      kernel.add_rows_f32(floats(matrix) + first * cols, rows, cols, sums);
    }
  });
}

ReluGradient relu_gradient(const at::Tensor& grad, const at::Tensor& result) {
  if (!has_kernel(grad)) {
    const at::Tensor gradient = at::threshold_backward(grad, result, 0);
    return {gradient, sum_rows(gradient)};
  }
  const at::Tensor matrix = grad.contiguous(), kept = result.contiguous();
  const int64_t cols = matrix.size(1);
  ReluGradient out;
  out.gradient = at::empty_like(matrix);
  const auto& kernel = kernels::gradient_kernels();
  out.row_sum = sum_parts(matrix.size(0), cols, [&](int64_t first, int64_t rows, float* sums) {
    const int64_t at = first * cols;
    if (is_half(matrix)) {
      kernel.relu_backward_bf16(halves(matrix) + at, halves(kept) + at, rows, cols,
                                mutable_halves(out.gradient) + at, sums);
    } else {
      kernel.relu_backward_f32(floats(matrix) + at, floats(kept) + at, rows, cols,
                               mutable_floats(out.gradient) + at, sums);
    }
  });
  return out;
}

}  // namespace quantnoise::nn
