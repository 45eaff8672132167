#pragma once
// Row indices of a table, checked once, as the codec wants them.

#include <torch/torch.h>

#include <cstdint>
#include <span>
#include <vector>

namespace quantnoise::quant {

/// `indices` as contiguous int64 on the CPU. Errors: kData for a value outside [0, rows).
at::Tensor checked_indices(const at::Tensor& indices, int64_t rows);

inline std::span<const int64_t> index_span(const at::Tensor& indices) {
  return {indices.const_data_ptr<int64_t>(), static_cast<size_t>(indices.numel())};
}

/// indices.sizes() followed by shape[1…].
std::vector<int64_t> rows_shape(const at::Tensor& indices, const std::vector<int64_t>& shape);

/// `use.buffer` when it has this shape and type, else new memory.
at::Tensor buffer_or_empty(const at::Tensor& buffer, at::IntArrayRef shape, at::ScalarType type);

/// The sum of grad_rows (n, cols) into a new tensor (rows, cols) by index, in the order of n for any number
/// of threads. Row `skip_row` gets nothing.
at::Tensor scatter_rows(const at::Tensor& grad_rows, const at::Tensor& indices, int64_t rows,
                        int64_t skip_row);

}  // namespace quantnoise::quant
