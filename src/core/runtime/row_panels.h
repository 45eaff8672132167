#pragma once
// Products of many rows of x with a weight that can be read row by row: 64 rows and a few hundred columns of
// it are decoded to fp32, turned into a panel that stays in the cache, and multiplied.

#include <algorithm>
#include <span>
#include <vector>

#include "core/runtime/aligned_buffer.h"
#include "core/runtime/product_codes.h"
#include "quantnoise/runtime/matrix.h"

namespace quantnoise::runtime {

constexpr int64_t kLargestRead = 256;  ///< columns read at once

/// Rows as fp32, `stride` elements apart.
struct RowBlock {
  const float* values = nullptr;
  int64_t stride = 0;
};

class RowSource {
 public:
  virtual ~RowSource() = default;

  /// Rows first_row … and columns first_col …: where they lie, or decoded into `buffer` (num_rows, num_cols).
  /// first_col: a multiple of 8; num_cols: at most kLargestRead.
  virtual RowBlock read_rows(int64_t first_row, int64_t num_rows, int64_t first_col, int64_t num_cols,
                             float* buffer) const = 0;
};

constexpr int64_t kPanelDepth = kLargestRead;  ///< 32-bit elements of a row; a panel has 64 KiB

/// y (n, rows) = x (n, …) Wᵀ panel by panel; `depth` elements of 32 bits a row of the weight. One part's
/// memory a thread.
///   make(row, num_rows, first, count, rows64, panel): elements first … of 64 rows (those that are not there
///     hold anything), through rows64 (64 · kPanelDepth floats), into panel (count, 64)
///   multiply(first, count, panel, y, y_stride, accumulate)
template <typename Sum, typename Make, typename Multiply>
void for_row_panels(int64_t rows, int64_t depth, int64_t n, Sum* y, const base::ParallelFor& parallel_for,
                    std::vector<AlignedBuffer<float>>& memory, const Make& make, const Multiply& multiply) {
  using kernels::kStepRows;
  const int64_t num_parts = parallel_for.num_threads(), num_steps = (rows + kStepRows - 1) / kStepRows;
  if (static_cast<int64_t>(memory.size()) < num_parts) memory.resize(static_cast<size_t>(num_parts));
  parallel_for(num_parts, 1, [&](int64_t part, int64_t) {
    float* panel = memory[static_cast<size_t>(part)].resize((2 * kPanelDepth + n) * kStepRows);
    float* rows64 = panel + kPanelDepth * kStepRows;
    auto* last = reinterpret_cast<Sum*>(rows64 + kPanelDepth * kStepRows);  // of a step not full: (n, 64)
    const StepRange range = StepRange::share(part, num_parts, num_steps);
    for (int64_t first = 0; first < depth; first += kPanelDepth) {
      const int64_t count = std::min(kPanelDepth, depth - first);
      for (int64_t step = range.begin; step < range.end; ++step) {
        const int64_t row = step * kStepRows, num_rows = std::min<int64_t>(kStepRows, rows - row);
        const bool is_full = num_rows == kStepRows;
        if (!is_full) std::fill_n(panel, kPanelDepth * kStepRows, 0.0f);
        make(row, num_rows, first, count, rows64, panel);
        multiply(first, count, panel, is_full ? y + row : last, is_full ? rows : int64_t{kStepRows},
                 first > 0);
        if (is_full || first + count < depth) continue;
        for (int64_t i = 0; i < n; ++i) std::copy_n(last + i * kStepRows, num_rows, y + i * rows + row);
      }
    }
  });
}

/// Rows `stride` elements apart become columns: panel (count, 64).
void turn_rows(const void* rows, int64_t stride, int64_t num_rows, int64_t count, float* panel);

/// y (n, rows) = x (n, cols) Wᵀ, in fp32.
void multiply_row_panels(const RowSource& weight, int64_t rows, int64_t cols, const float* x, int64_t n,
                         float* y, const base::ParallelFor& parallel_for,
                         std::vector<AlignedBuffer<float>>& memory);

/// Row `zero_row` (−1: none) of every product becomes 0, then the bias (rows, or empty) is added.
void finish_products(int64_t zero_row, std::span<const float> bias, int64_t n, int64_t rows, float* y);

/// Errors as QN_INVARIANT: sizes of x, bias and y.
void check_product_sizes(const Matrix& matrix, std::span<const float> x, int64_t n,
                         std::span<const float> bias, std::span<float> y);

}  // namespace quantnoise::runtime
