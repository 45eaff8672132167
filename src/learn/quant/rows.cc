#include "learn/quant/rows.h"

#include <algorithm>

#include "quantnoise/base/checked.h"
#include "quantnoise/quant/context.h"

namespace quantnoise::quant {

at::Tensor checked_indices(const at::Tensor& indices, int64_t rows) {
  const at::Tensor checked = indices.to(at::kCPU, at::kLong).contiguous();
  for (const int64_t index : index_span(checked)) {
    QN_REQUIRE(index >= 0 && index < rows, ErrorKind::kData, "row index: found ", index, ", expected 0 to ",
               rows - 1);
  }
  return checked;
}

std::vector<int64_t> rows_shape(const at::Tensor& indices, const std::vector<int64_t>& shape) {
  std::vector<int64_t> result = indices.sizes().vec();
  result.insert(result.end(), shape.begin() + 1, shape.end());
  return result;
}

at::Tensor buffer_or_empty(const at::Tensor& buffer, at::IntArrayRef shape, at::ScalarType type) {
  if (buffer.defined() && buffer.is_cpu() && buffer.scalar_type() == type && buffer.sizes() == shape &&
      buffer.is_contiguous()) {
    return buffer;
  }
  return at::empty(shape, type);
}

at::Tensor scatter_rows(const at::Tensor& grad_rows, const at::Tensor& indices, int64_t rows,
                        int64_t skip_row) {
  if (!grad_rows.is_cpu()) {
    return at::embedding_dense_backward(grad_rows.to(at::kFloat), indices, rows, skip_row, false);
  }
  const at::Tensor grad = grad_rows.to(at::kFloat).contiguous();
  const at::Tensor checked = checked_indices(indices, rows);
  const std::span<const int64_t> targets = index_span(checked);
  const int64_t cols = grad.size(1);
  at::Tensor sum = at::empty({rows, cols}, at::kFloat);
  const float* source = grad.const_data_ptr<float>();
  float* out = sum.mutable_data_ptr<float>();
  // Every chunk owns a range of the table and scans all indices: no two threads write one row.
  constexpr int64_t kNumChunks = 16;
  torch_parallel_for()(rows, std::max<int64_t>(1, base::ceil_div(rows, kNumChunks)),
                       [&](int64_t begin, int64_t end) {
                         std::fill(out + begin * cols, out + end * cols, 0.0f);
                         for (size_t i = 0; i < targets.size(); ++i) {
                           const int64_t row = targets[i];
                           if (row < begin || row >= end || row == skip_row) continue;
                           const float* from = source + static_cast<int64_t>(i) * cols;
                           float* to = out + row * cols;
                           for (int64_t j = 0; j < cols; ++j) to[j] += from[j];
                         }
                       });
  return sum;
}

}  // namespace quantnoise::quant
