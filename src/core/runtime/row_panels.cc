#include "core/runtime/row_panels.h"

#include <algorithm>

#include "quantnoise/base/checked.h"
#include "quantnoise/base/error.h"
#include "quantnoise/kernels/attention.h"

namespace quantnoise::runtime {

namespace {

using kernels::kStepRows;

constexpr int64_t kPanelDepth = kLargestRead;  // a panel has 64 KiB

// What one part of the rows works in.
struct PanelMemory {
  float* panel;   ///< (kPanelDepth, 64)
  float* buffer;  ///< (64, kPanelDepth)
  float* last;    ///< (n, 64): products of a step that is not full

  PanelMemory(AlignedBuffer<float>& memory, int64_t n)
      : panel(memory.resize((2 * kPanelDepth + n) * kStepRows)),
        buffer(panel + kPanelDepth * kStepRows),
        last(buffer + kPanelDepth * kStepRows) {}
};

// Rows of 64 that are not there become zeros.
void make_panel(const RowSource& weight, int64_t row, int64_t num_rows, int64_t col, int64_t num_cols,
                const PanelMemory& memory) {
  const RowBlock block = weight.read_rows(row, num_rows, col, num_cols, memory.buffer);
  if (num_rows < kStepRows) std::fill_n(memory.panel, kPanelDepth * kStepRows, 0.0f);
  kernels::attention_kernels().transpose(reinterpret_cast<const uint32_t*>(block.values), block.stride,
                                         num_rows, num_cols, reinterpret_cast<uint32_t*>(memory.panel),
                                         kStepRows);
}

}  // namespace

void multiply_row_panels(const RowSource& weight, int64_t rows, int64_t cols, const float* x, int64_t n,
                         float* y, const base::ParallelFor& parallel_for,
                         std::vector<AlignedBuffer<float>>& memory) {
  const int64_t num_parts = parallel_for.num_threads(), num_steps = base::ceil_div(rows, kStepRows);
  if (static_cast<int64_t>(memory.size()) < num_parts) memory.resize(static_cast<size_t>(num_parts));
  parallel_for(num_parts, 1, [&](int64_t part, int64_t) {
    const PanelMemory own(memory[static_cast<size_t>(part)], n);
    const StepRange range = StepRange::share(part, num_parts, num_steps);
    for (int64_t col = 0; col < cols; col += kPanelDepth) {
      const int64_t num_cols = std::min(kPanelDepth, cols - col);
      for (int64_t step = range.begin; step < range.end; ++step) {
        const int64_t row = step * kStepRows, num_rows = std::min<int64_t>(kStepRows, rows - row);
        make_panel(weight, row, num_rows, col, num_cols, own);
        const bool is_full = num_rows == kStepRows;
        kernels::panel_kernels().multiply(x + col, cols, n, num_cols, own.panel, is_full ? y + row : own.last,
                                          is_full ? rows : kStepRows, col > 0);
        if (is_full || col + num_cols < cols) continue;
        for (int64_t i = 0; i < n; ++i) std::copy_n(own.last + i * kStepRows, num_rows, y + i * rows + row);
      }
    }
  });
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
