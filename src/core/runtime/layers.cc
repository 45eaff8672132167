#include "core/runtime/layers.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "quantnoise/base/error.h"
#include "quantnoise/codec/half.h"
#include "quantnoise/kernels/layer_norm.h"

namespace quantnoise::runtime {

namespace {

using codec::ScalarType;

/// Rows find their own ranges in `body`: a value that is not finite is an error that names the layer.
template <typename Body>
void quantize_by_row(const InputQuantization& input, const Body& body) {
  try {
    body();
  } catch (Error& error) {
    throw error.in("the input of layer " + input.layer);
  }
}

/// The input as the layer takes it: quantized into the context's buffer, or as it is. Errors: kNumeric for
/// values that are not finite in rows that find their own range.
const float* quantized(const InputQuantization& input, const float* x, int64_t n, int64_t cols,
                       Context& context) {
  if (input.mode == pack::ActivationMode::kNone) return x;
  const auto count = static_cast<size_t>(n * cols);
  const std::span<float> out(context.quantized.resize(n * cols), count);
  if (input.mode == pack::ActivationMode::kStatic) {
    const int64_t shape[] = {n, cols};
    codec::fake_quantize({x, count}, shape, input.grid, out, context.parallel_for());
  } else {
    quantize_by_row(input, [&] {
      codec::fake_quantize_rows({x, count}, n, cols, input.grid.bits, /*symmetric=*/false, out,
                                context.parallel_for());
    });
  }
  return out.data();
}

/// The same as codes in the context's buffers. None for inputs that are not quantized, and for values that no
/// code stands for. Errors: as quantized().
std::optional<CodedRows> coded(const InputQuantization& input, const float* x, int64_t n, int64_t cols,
                               Context& context) {
  if (input.mode == pack::ActivationMode::kNone) return std::nullopt;
  const std::span<const float> values(x, static_cast<size_t>(n * cols));
  const std::span<uint8_t> codes(context.codes.resize(n * cols), values.size());
  if (input.mode == pack::ActivationMode::kStatic) {
    if (!codec::quantize_rows(values, n, cols, input.grid, codes, context.parallel_for()))
      return std::nullopt;
    return CodedRows{codes, n, input.grid.scales, input.grid.zero_points};
  }
  const std::span<float> scales(context.scales.resize(n), static_cast<size_t>(n));
  const std::span<int32_t> zero_points(context.zero_points.resize(n), static_cast<size_t>(n));
  quantize_by_row(input, [&] {
    codec::quantize_rows(values, n, cols, input.grid.bits, /*symmetric=*/false, codes, scales, zero_points,
                         context.parallel_for());
  });
  return CodedRows{codes, n, scales, zero_points};
}

}  // namespace

FloatVector::FloatVector(const pack::RawTensor& tensor, int64_t expected) {
  int64_t count = 1;
  for (const int64_t size : tensor.shape) count *= size;
  QN_REQUIRE(count == expected, ErrorKind::kFormat, "found ", count, " numbers, expected ", expected);
  const std::byte* bytes = tensor.data.bytes.data();
  if (tensor.type == ScalarType::kF32) {
    owner_ = tensor.data.owner;
    values_ = {reinterpret_cast<const float*>(bytes), static_cast<size_t>(count)};
    return;
  }
  QN_REQUIRE(tensor.type == ScalarType::kF16 || tensor.type == ScalarType::kBF16, ErrorKind::kFormat,
             "found whole numbers, expected fp32, fp16 or bf16");
  for (int64_t i = 0; i < count; ++i) {
    uint16_t bits = 0;
    std::memcpy(&bits, bytes + 2 * i, 2);
    own_.push_back(tensor.type == ScalarType::kF16 ? codec::half_to_float(bits) : codec::bf16_to_float(bits));
  }
  values_ = own_;
}

void Linear::forward(const float* x, int64_t n, float* y, Context& context) const {
  // Below that a product takes less than waking other threads.
  constexpr int64_t kWorthwhileBytes = 256 * 1024;
  MultiplyOptions options = context.multiply;
  if (n * weight_bytes_ < kWorthwhileBytes) options.parallel_for = nullptr;
  if (input_.mode != pack::ActivationMode::kNone) options.input_number = 0;  // a grid of its own
  const std::span<const float> bias = bias_ ? bias_->values() : std::span<const float>();
  const std::span<float> out(y, static_cast<size_t>(n * out_features()));
  if (context.on_product != nullptr)
    (*context.on_product)(input_.layer, {x, static_cast<size_t>(n * in_features())}, n);
  if (matrix_->multiplies_codes(n, options)) {
    if (const auto codes = coded(input_, x, n, in_features(), context))
      return matrix_->multiply_codes(*codes, bias, out, options);
  }
  const float* input = quantized(input_, x, n, in_features(), context);
  matrix_->multiply({input, static_cast<size_t>(n * in_features())}, n, bias, out, options);
}

void TransposedLinear::forward(const float* x, int64_t n, float* y, Context& context) const {
  const int64_t rows = weight_->rows(), cols = weight_->cols();
  const float* input = quantized(input_, x, n, rows, context);
  // Each thread adds up its own rows of x, in the order of the weight's rows.
  constexpr int64_t kRowsAtOnce = 16;
  for_each_part(context, (n + kRowsAtOnce - 1) / kRowsAtOnce, n * rows * cols, [&](int64_t part) {
    const int64_t begin = part * kRowsAtOnce, end = std::min(n, begin + kRowsAtOnce);
    std::vector<float> weight(static_cast<size_t>(cols));
    std::fill(y + begin * cols, y + end * cols, 0.0f);
    for (int64_t row = 0; row < rows; ++row) {
      weight_->read(row, weight.data());
      for (int64_t i = begin; i < end; ++i) {
        const float factor = input[i * rows + row];
        float* to = y + i * cols;
        for (int64_t j = 0; j < cols; ++j) to[j] += factor * weight[static_cast<size_t>(j)];
      }
    }
  });
}

void LayerNorm::forward(const float* x, int64_t n, float* out, Context& context) const {
  constexpr int64_t kRowsAtOnce = 16;
  const auto dim = static_cast<int64_t>(gamma_->values().size());
  float* statistics = context.statistics.resize(2 * n);
  for_each_part(context, (n + kRowsAtOnce - 1) / kRowsAtOnce, 4 * n * dim, [&](int64_t part) {
    const int64_t first = part * kRowsAtOnce;
    kernels::LayerNormRows rows;
    rows.x = x + first * dim;
    rows.gamma = gamma_->data();
    rows.beta = beta_->data();
    rows.rows = std::min(kRowsAtOnce, n - first);
    rows.cols = dim;
    rows.mean = statistics + first;
    rows.inverse_std = statistics + n + first;
    kernels::layer_norm_kernels().forward_f32(rows, out + first * dim);
  });
}

void add(const float* y, int64_t count, float* x) {
  for (int64_t i = 0; i < count; ++i) x[i] += y[i];
}

}  // namespace quantnoise::runtime
