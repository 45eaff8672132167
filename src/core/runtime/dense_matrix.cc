#include "core/runtime/dense_matrix.h"

#include <cstring>
#include <utility>

#include "core/runtime/product_state.h"
#include "quantnoise/base/checked.h"
#include "quantnoise/base/error.h"
#include "quantnoise/kernels/dense_product.h"

namespace quantnoise::runtime {

namespace {

using codec::ScalarType;

// Up to here every row of x walks over the weight by itself.
constexpr int64_t kFewRows = 3;
// Rows of the weight that stay in the cache while the rows of x take turns.
constexpr int64_t kRowsAtOnce = 16;

}  // namespace

DenseMatrix::DenseMatrix(codec::PackedWeight weight) : weight_(std::move(weight)) {
  const ScalarType type = weight_.dense_type;
  QN_INVARIANT(weight_.scheme == codec::Scheme::kDense);
  QN_REQUIRE(type == ScalarType::kF32 || type == ScalarType::kF16 || type == ScalarType::kBF16,
             ErrorKind::kFormat, "elements of a dense weight: expected fp32, fp16 or bf16");
  rows_ = weight_.rows();
  cols_ = weight_.cols();
  const int64_t element_bytes = codec::scalar_bytes(type), expected = weight_.numel() * element_bytes;
  const auto found = static_cast<int64_t>(weight_.dense.bytes.size());
  QN_REQUIRE(found == expected, ErrorKind::kFormat, "elements of a dense weight: found ", found,
             " bytes, expected ", expected);
  QN_REQUIRE(weight_.zero_row < rows_, ErrorKind::kFormat, "zero row: found ", weight_.zero_row,
             ", expected less than ", rows_, " rows");
  elements_ = weight_.dense.bytes.data();
  if (reinterpret_cast<uintptr_t>(elements_) % static_cast<uintptr_t>(element_bytes) == 0) return;
  std::memcpy(own_.resize(found), elements_, static_cast<size_t>(found));
  elements_ = own_.data();
}

std::string DenseMatrix::kernel_name(int64_t n, Arithmetic) const {
  return n <= kFewRows ? "rows, fp32" : "panels, fp32";
}

void DenseMatrix::multiply(std::span<const float> x, int64_t n, std::span<const float> bias,
                           std::span<float> y, const MultiplyOptions& options) const {
  check_product_sizes(*this, x, n, bias, y);
  const base::ParallelFor& parallel_for = parallel_for_of(options);
  const bool few = options.method == Method::kAuto ? n <= kFewRows : options.method == Method::kLookup;
  if (few) {
    parallel_for(rows_, kRowsAtOnce * base::ceil_div(rows_, kRowsAtOnce * parallel_for.num_threads()),
                 [&](int64_t begin, int64_t end) {
                   for (int64_t row = begin; row < end; row += kRowsAtOnce) {
                     const int64_t row_end = std::min(row + kRowsAtOnce, end);
                     for (int64_t i = 0; i < n; ++i)
                       multiply_rows(row, row_end, x.data() + i * cols_, y.data() + i * rows_);
                   }
                 });
  } else {
    std::unique_ptr<Workspace> own;
    if (options.workspace == nullptr) own = std::make_unique<Workspace>();
    Workspace::State& workspace = (own ? *own : *options.workspace).state();
    multiply_row_panels(*this, rows_, cols_, x.data(), n, y.data(), parallel_for, workspace.panels);
  }
  finish_products(weight_.zero_row, bias, n, rows_, y.data());
}

// Rows begin … end − 1 of one product.
void DenseMatrix::multiply_rows(int64_t begin, int64_t end, const float* x, float* y) const {
  const auto& kernels = kernels::dense_product_kernels();
  if (weight_.dense_type == ScalarType::kF32) {
    const auto* values = reinterpret_cast<const float*>(elements_) + begin * cols_;
    kernels.multiply_f32({values, end - begin, cols_}, x, y + begin);
  } else {
    const auto* values = reinterpret_cast<const uint16_t*>(elements_) + begin * cols_;
    (weight_.dense_type == ScalarType::kF16 ? kernels.multiply_f16 : kernels.multiply_bf16)(
        {values, end - begin, cols_}, x, y + begin);
  }
}

RowBlock DenseMatrix::read_rows(int64_t first_row, int64_t num_rows, int64_t first_col, int64_t num_cols,
                                float* buffer) const {
  const int64_t first = first_row * cols_ + first_col;
  if (weight_.dense_type == ScalarType::kF32)
    return {reinterpret_cast<const float*>(elements_) + first, cols_};
  const auto& kernels = kernels::dense_product_kernels();
  const auto widen = weight_.dense_type == ScalarType::kF16 ? kernels.widen_f16 : kernels.widen_bf16;
  for (int64_t row = 0; row < num_rows; ++row)
    widen(reinterpret_cast<const uint16_t*>(elements_) + first + row * cols_, num_cols,
          buffer + row * num_cols);
  return {buffer, num_cols};
}

}  // namespace quantnoise::runtime
