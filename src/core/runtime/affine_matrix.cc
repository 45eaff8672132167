#include "core/runtime/affine_matrix.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/runtime/product_state.h"
#include "quantnoise/base/checked.h"
#include "quantnoise/base/error.h"
#include "quantnoise/codec/affine.h"
#include "quantnoise/codec/bit_pack.h"
#include "quantnoise/kernels/affine.h"

namespace quantnoise::runtime {

namespace {

// Rows of the weight in a strip.
constexpr int64_t kStripRows = 64;
constexpr int64_t kFewRows = AffineMatrix::kFewRows;
constexpr int64_t kInputsAtOnce = AffineMatrix::kInputsAtOnce;

// Channels of `shape` along `axis` as a matrix sees them: by row (axis 0), or by column.
size_t channel_of_column(const codec::PackedWeight& weight, int64_t col) {
  int64_t stride = 1;
  for (size_t i = static_cast<size_t>(weight.affine_axis) + 1; i < weight.shape.size(); ++i)
    stride *= weight.shape[i];
  return static_cast<size_t>(col / stride % weight.shape[static_cast<size_t>(weight.affine_axis)]);
}

}  // namespace

AffineMatrix::AffineMatrix(codec::PackedWeight weight)
    : weight_(std::move(weight)), rows_(weight_.rows()), cols_(weight_.cols()) {
  QN_INVARIANT(weight_.scheme == codec::Scheme::kAffine);
  codec::check_affine_grid({weight_.code_bits, weight_.affine_axis, weight_.scales, weight_.zero_points},
                           weight_.shape, ErrorKind::kFormat);
  const int64_t needed = codec::packed_bytes(weight_.numel(), weight_.code_bits);
  QN_REQUIRE(static_cast<int64_t>(weight_.codes.bytes.size()) == needed, ErrorKind::kFormat, "codes: found ",
             weight_.codes.bytes.size(), " bytes, expected ", needed);
  QN_REQUIRE(weight_.zero_row < rows_, ErrorKind::kFormat, "zero row: found ", weight_.zero_row,
             ", expected less than ", rows_, " rows");
  codes_ = reinterpret_cast<const uint8_t*>(weight_.codes.bytes.data());
  row_bytes_ = codec::packed_bytes(cols_, weight_.code_bits);
  if (cols_ * weight_.code_bits % 8 != 0) copy_rows_to_whole_bytes();
  split_scales();
}

// Eight codes begin at a whole byte, so rows are unpacked with up to seven codes before them.
void AffineMatrix::copy_rows_to_whole_bytes() {
  const int bits = weight_.code_bits;
  uint8_t* to = own_codes_.resize(rows_ * row_bytes_);
  std::vector<uint8_t> codes(static_cast<size_t>(cols_) + 7);
  for (int64_t row = 0; row < rows_; ++row, to += row_bytes_) {
    const int64_t first = row * cols_, before = first % 8;
    kernels::affine_product_kernels().unpack(codes_ + first / 8 * bits, bits, before + cols_, codes.data());
    const std::vector<uint16_t> wide(codes.begin() + before, codes.begin() + before + cols_);
    codec::pack_bits(wide, bits, {reinterpret_cast<std::byte*>(to), static_cast<size_t>(row_bytes_)});
  }
  codes_ = own_codes_.data();
}

void AffineMatrix::split_scales() {
  const auto middle = static_cast<float>(1 << (weight_.code_bits - 1));
  std::vector<float> shifts;
  for (const int32_t zero_point : weight_.zero_points)
    shifts.push_back(middle - static_cast<float>(zero_point));
  if (weight_.affine_axis <= 0) {
    row_scales_ = weight_.scales;
    if (std::any_of(shifts.begin(), shifts.end(), [](float shift) { return shift != 0; }))
      row_shifts_ = shifts;
    return;
  }
  row_scales_ = {1.0f};
  for (int64_t col = 0; col < cols_; ++col) {
    const size_t channel = channel_of_column(weight_, col);
    column_scales_.push_back(weight_.scales[channel]);
    column_shifts_.push_back(shifts[channel]);
  }
}

int64_t AffineMatrix::owned_bytes() const {
  const size_t floats = row_scales_.size() + row_shifts_.size() + column_scales_.size() +
                        column_shifts_.size() + weight_.scales.size() + weight_.zero_points.size();
  return own_codes_.capacity_bytes() + static_cast<int64_t>(floats * sizeof(float));
}

std::string AffineMatrix::kernel_name(int64_t n, Arithmetic arithmetic) const {
  if (n > kFewRows) return "panels decoded, fp32";
  return arithmetic == Arithmetic::kFast ? "codes, inputs of 8 bits" : "codes, inputs of 16 bits";
}

void AffineMatrix::multiply(std::span<const float> x, int64_t n, std::span<const float> bias,
                            std::span<float> y, const MultiplyOptions& options) const {
  check_product_sizes(*this, x, n, bias, y);
  std::unique_ptr<Workspace> own;
  if (options.workspace == nullptr) own = std::make_unique<Workspace>();
  Workspace::State& workspace = (own ? *own : *options.workspace).state();
  const bool few = options.method == Method::kAuto ? n <= kFewRows : options.method == Method::kLookup;
  if (few) {
    for (int64_t i = 0; i < n; i += kInputsAtOnce) {
      multiply_integers(x.data() + i * cols_, std::min(kInputsAtOnce, n - i), y.data() + i * rows_, options,
                        workspace);
    }
  } else {
    multiply_panels(x.data(), n, y.data(), options, workspace);
  }
  finish_products(weight_.zero_row, bias, n, rows_, y.data());
}

void AffineMatrix::multiply_panels(const float* x, int64_t n, float* y, const MultiplyOptions& options,
                                   Workspace::State& workspace) const {
  multiply_row_panels(*this, rows_, cols_, x, n, y, parallel_for_of(options), workspace.panels);
}

// Fills `input`; returns what zero points by column add to every output.
double AffineMatrix::quantize(const float* x, const kernels::AffineInput& input, AlignedBuffer<float>& scaled,
                              bool* fits) const {
  double shift = 0;
  if (!column_scales_.empty()) {
    float* to = scaled.resize(cols_);
    for (int64_t col = 0; col < cols_; ++col) {
      to[col] = x[col] * column_scales_[static_cast<size_t>(col)];
      shift += double{to[col]} * column_shifts_[static_cast<size_t>(col)];
    }
    x = to;
  }
  *fits = kernels::affine_product_kernels().quantize(x, cols_, input);
  return shift;
}

// Inputs that do not fit integers are multiplied as fp32, each alone.
void AffineMatrix::multiply_integers(const float* x, int64_t n, float* y, const MultiplyOptions& options,
                                     Workspace::State& workspace) const {
  const auto steps = kernels::AffineSteps::of(weight_.code_bits, cols_);
  if (workspace.affine.empty()) workspace.affine.resize(kInputsAtOnce);
  bool fits[kInputsAtOnce];
  for (int64_t i = 0; i < n; ++i) {
    AffineInputMemory& memory = workspace.affine[static_cast<size_t>(i)];
    const auto& input = memory.prepare(steps, options.arithmetic == Arithmetic::kPrecise, false);
    memory.scale = 1;
    memory.shift = quantize(x + i * cols_, input, workspace.scaled, &fits[i]);
    memory.sum = fits[i] && !row_shifts_.empty() ? kernels::affine_input_sum(input) : 0;
    if (!fits[i]) multiply_panels(x + i * cols_, 1, y + i * rows_, options, workspace);
  }
  add_strips(fits, n, y, parallel_for_of(options), workspace);
}

// Products of the inputs that are taken, strip by strip of the weight.
void AffineMatrix::add_strips(const bool* taken, int64_t n, float* y, const base::ParallelFor& parallel_for,
                              const Workspace::State& workspace) const {
  const int64_t num_parts = parallel_for.num_threads(), num_strips = base::ceil_div(rows_, kStripRows);
  parallel_for(num_parts, 1, [&](int64_t part, int64_t) {
    const StepRange strips = StepRange::share(part, num_parts, num_strips);
    for (int64_t strip = strips.begin; strip < strips.end; ++strip) {
      const int64_t row = strip * kStripRows, num_rows = std::min(kStripRows, rows_ - row);
      for (int64_t i = 0; i < n; ++i) {
        if (!taken[i]) continue;
        const AffineInputMemory& memory = workspace.affine[static_cast<size_t>(i)];
        float* to = y + i * rows_ + row;
        kernels::affine_product_kernels().multiply(memory.input,
                                                   {codes_ + row * row_bytes_, row_bytes_, num_rows}, to);
        scale_rows(row, num_rows, memory, to);
      }
    }
  });
}

// Sums of (code − middle) · x become products.
void AffineMatrix::scale_rows(int64_t row, int64_t num_rows, const AffineInputMemory& memory,
                              float* y) const {
  const auto at = [](const std::vector<float>& values, int64_t i) {
    return values[values.size() == 1 ? 0 : static_cast<size_t>(i)];
  };
  const auto sum = static_cast<float>(memory.sum), shift = static_cast<float>(memory.shift);
  for (int64_t r = 0; r < num_rows; ++r) {
    const float of_row = row_shifts_.empty() ? shift : at(row_shifts_, row + r) * sum;
    y[r] = memory.scale * at(row_scales_, row + r) * (y[r] + of_row);
  }
}

RowBlock AffineMatrix::read_rows(int64_t first_row, int64_t num_rows, int64_t first_col, int64_t num_cols,
                                 float* buffer) const {
  const int bits = weight_.code_bits;
  const int64_t middle = 1 << (bits - 1);
  uint8_t codes[kLargestRead];
  for (int64_t r = 0; r < num_rows; ++r) {
    const int64_t row = first_row + r;
    float* to = buffer + r * num_cols;
    kernels::affine_product_kernels().unpack(codes_ + row * row_bytes_ + first_col * bits / 8, bits, num_cols,
                                             codes);
    const auto channel = static_cast<size_t>(weight_.affine_axis < 0 ? 0 : row);
    if (column_scales_.empty()) {
      const auto step = kernels::affine_step(weight_.scales[channel], weight_.zero_points[channel], bits);
      kernels::affine_code_kernels().dequantize_f32(step, codes, num_cols, to);
      continue;
    }
    for (int64_t c = 0; c < num_cols; ++c) {
      const auto col = static_cast<size_t>(first_col + c);
      to[c] = column_scales_[col] * (static_cast<float>(codes[c] - middle) + column_shifts_[col]);
    }
  }
  return {buffer, num_cols};
}

}  // namespace quantnoise::runtime
