#include "core/runtime/row_panels.h"

#include "quantnoise/base/error.h"
#include "quantnoise/kernels/attention.h"

namespace quantnoise::runtime {

void turn_rows(const void* rows, int64_t stride, int64_t num_rows, int64_t count, float* panel) {
  kernels::attention_kernels().transpose(static_cast<const uint32_t*>(rows), stride, num_rows, count,
                                         reinterpret_cast<uint32_t*>(panel), kernels::kStepRows);
}

void multiply_row_panels(const RowSource& weight, int64_t rows, int64_t cols, const float* x, int64_t n,
                         float* y, const base::ParallelFor& parallel_for,
                         std::vector<AlignedBuffer<float>>& memory) {
  const auto make = [&](int64_t row, int64_t num_rows, int64_t first, int64_t count, float* rows64,
                        float* panel) {
    const RowBlock block = weight.read_rows(row, num_rows, first, count, rows64);
    turn_rows(block.values, block.stride, num_rows, count, panel);
  };
  const auto multiply = [&](int64_t first, int64_t count, const float* panel, float* to, int64_t stride,
                            bool add) {
    kernels::panel_kernels().multiply(x + first, cols, n, count, panel, to, stride, add);
  };
  for_row_panels(rows, cols, n, y, parallel_for, memory, make, multiply);
}

void finish_products(int64_t zero_row, std::span<const float> bias, int64_t n, int64_t rows, float* y) {
  for (int64_t i = 0; i < n; ++i, y += rows) {
    if (zero_row >= 0) y[zero_row] = 0;
    for (size_t j = 0; j < bias.size(); ++j) y[j] += bias[j];
  }
}

void check_product_sizes(const Matrix& matrix, std::span<const float> x, int64_t n,
                         std::span<const float> bias, std::span<float> y) {
  QN_INVARIANT(n >= 0 && static_cast<int64_t>(x.size()) == n * matrix.cols());
  QN_INVARIANT(static_cast<int64_t>(y.size()) == n * matrix.rows());
  QN_INVARIANT(bias.empty() || static_cast<int64_t>(bias.size()) == matrix.rows());
}

}  // namespace quantnoise::runtime
