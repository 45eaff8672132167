#pragma once
// Products with a weight that is stored as fp32, fp16 or bf16.

#include "core/runtime/row_panels.h"

namespace quantnoise::runtime {

class DenseMatrix : public Matrix, private RowSource {
 public:
  /// weight: scheme kDense; its bytes are used where they lie. Errors: kFormat.
  explicit DenseMatrix(codec::PackedWeight weight);

  int64_t rows() const override { return rows_; }
  int64_t cols() const override { return cols_; }
  int64_t owned_bytes() const override { return own_.capacity_bytes(); }
  std::string kernel_name(int64_t n, Arithmetic arithmetic) const override;
  void multiply(std::span<const float> x, int64_t n, std::span<const float> bias, std::span<float> y,
                const MultiplyOptions& options) const override;

 private:
  RowBlock read_rows(int64_t first_row, int64_t num_rows, int64_t first_col, int64_t num_cols,
                     float* buffer) const override;
  void multiply_rows(int64_t begin, int64_t end, const float* x, float* y) const;

  codec::PackedWeight weight_;
  int64_t rows_ = 0;
  int64_t cols_ = 0;
  const std::byte* elements_ = nullptr;
  AlignedBuffer<std::byte> own_;  ///< a copy when the stored elements are not aligned
};

}  // namespace quantnoise::runtime
