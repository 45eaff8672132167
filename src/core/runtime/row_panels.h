#pragma once
// Products of many rows of x with a weight that can be read row by row: 64 rows and a few hundred columns of
// it are decoded to fp32, turned into a panel that stays in the cache, and multiplied.

#include <span>

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

/// y (n, rows) = x (n, cols) Wᵀ, in fp32; one panel's memory a part of the rows.
void multiply_row_panels(const RowSource& weight, int64_t rows, int64_t cols, const float* x, int64_t n,
                         float* y, const base::ParallelFor& parallel_for,
                         std::vector<AlignedBuffer<float>>& memory);

/// Row `zero_row` (−1: none) of every product becomes 0, then the bias (rows, or empty) is added.
void finish_products(int64_t zero_row, std::span<const float> bias, int64_t n, int64_t rows, float* y);

/// Errors as QN_INVARIANT: sizes of x, bias and y.
void check_product_sizes(const Matrix& matrix, std::span<const float> x, int64_t n,
                         std::span<const float> bias, std::span<float> y);

}  // namespace quantnoise::runtime
