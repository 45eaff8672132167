#pragma once
// Products with affine codes of 2 … 8 bits, on the bytes as the file holds them.
//
// Few rows of x: integers of 16 bits (precise) or 8 bits (fast) times codes (kernels/affine_product.h). Many
// rows, and inputs that do not fit integers (NaN, infinity): panels decoded to fp32.

#include "core/runtime/affine_input.h"
#include "core/runtime/row_panels.h"
#include "quantnoise/kernels/affine_product.h"

namespace quantnoise::runtime {

class AffineMatrix : public Matrix, private RowSource {
 public:
  /// Up to here rows of x are multiplied one by one: decoding a panel has to pay.
  static constexpr int64_t kFewRows = 24;
  /// Rows of x whose integers are at hand while a strip of the weight is in the cache.
  static constexpr int64_t kInputsAtOnce = 8;

  /// weight: scheme kAffine; its bytes are used where they lie, apart from rows that do not begin at whole
  /// bytes, which are copied to where they do. Errors: kFormat.
  explicit AffineMatrix(codec::PackedWeight weight);

  int64_t rows() const override { return rows_; }
  int64_t cols() const override { return cols_; }
  int64_t owned_bytes() const override;
  std::string kernel_name(int64_t n, Arithmetic arithmetic) const override;
  void multiply(std::span<const float> x, int64_t n, std::span<const float> bias, std::span<float> y,
                const MultiplyOptions& options) const override;
  void multiply_codes(const CodedRows& x, std::span<const float> bias, std::span<float> y,
                      const MultiplyOptions& options) const override;
  bool multiplies_codes(int64_t n, const MultiplyOptions& options) const override;

 private:
  RowBlock read_rows(int64_t first_row, int64_t num_rows, int64_t first_col, int64_t num_cols,
                     float* buffer) const override;
  void copy_rows_to_whole_bytes();
  void split_scales();
  void multiply_panels(const float* x, int64_t n, float* y, const MultiplyOptions& options,
                       Workspace::State& workspace) const;
  void multiply_integers(const float* x, int64_t n, float* y, const MultiplyOptions& options,
                         Workspace::State& workspace) const;
  void add_strips(const bool* taken, int64_t n, float* y, const base::ParallelFor& parallel_for,
                  const Workspace::State& workspace) const;
  void multiply_few_codes(const CodedRows& x, int64_t first, int64_t n, float* y,
                          const base::ParallelFor& parallel_for, Workspace::State& workspace) const;
  void multiply_many_codes(const CodedRows& x, float* y, const base::ParallelFor& parallel_for,
                           Workspace::State& workspace) const;
  void scale_sums(const CodedRows& x, const uint8_t* bytes, const int32_t* sums, float* y,
                  const base::ParallelFor& parallel_for) const;
  void make_byte_panel(int64_t row, int64_t num_rows, int64_t first, int64_t count, float* rows64,
                       float* panel) const;
  void scale_rows(int64_t row, int64_t num_rows, const AffineInputMemory& memory, float* y) const;
  double quantize(const float* x, const kernels::AffineInput& input, AlignedBuffer<float>& scaled,
                  bool* fits) const;

  codec::PackedWeight weight_;
  int64_t rows_ = 0;
  int64_t cols_ = 0;
  int64_t row_bytes_ = 0;
  const uint8_t* codes_ = nullptr;
  AlignedBuffer<uint8_t> own_codes_;
  // value = row_scale · column_scale · (code − middle + row_shift + column_shift); what does not vary is
  // empty (rows: one element).
  std::vector<float> row_scales_;
  std::vector<float> row_shifts_;
  std::vector<float> column_scales_;
  std::vector<float> column_shifts_;
};

}  // namespace quantnoise::runtime
