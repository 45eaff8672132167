// Affine weights times activations that are codes too: everything in integers.

#include <algorithm>
#include <numeric>

#include "core/runtime/affine_matrix.h"
#include "core/runtime/product_state.h"
#include "quantnoise/base/checked.h"
#include "quantnoise/base/error.h"
#include "quantnoise/kernels/short_panel.h"

namespace quantnoise::runtime {

namespace {

// Sums of products of two differences of bytes stay within 32 bits.
constexpr int64_t kLargestCols = 32768;

}  // namespace

bool AffineMatrix::multiplies_codes(int64_t, const MultiplyOptions&) const {
  return column_scales_.empty() && cols_ <= kLargestCols;
}

void AffineMatrix::multiply_codes(const CodedRows& x, std::span<const float> bias, std::span<float> y,
                                  const MultiplyOptions& options) const {
  if (!multiplies_codes(x.n, options)) return Matrix::multiply_codes(x, bias, y, options);
  QN_INVARIANT(static_cast<int64_t>(x.codes.size()) == x.n * cols_);
  QN_INVARIANT(static_cast<int64_t>(y.size()) == x.n * rows_);
  QN_INVARIANT(bias.empty() || static_cast<int64_t>(bias.size()) == rows_);
  std::unique_ptr<Workspace> own;
  if (options.workspace == nullptr) own = std::make_unique<Workspace>();
  Workspace::State& workspace = (own ? *own : *options.workspace).state();
  const base::ParallelFor& parallel_for = parallel_for_of(options);
  const bool few = options.method == Method::kAuto ? x.n <= kFewRows / 3 : options.method == Method::kLookup;
  if (few) {
    for (int64_t i = 0; i < x.n; i += kInputsAtOnce) {
      multiply_few_codes(x, i, std::min(kInputsAtOnce, x.n - i), y.data() + i * rows_, parallel_for,
                         workspace);
    }
  } else {
    multiply_many_codes(x, y.data(), parallel_for, workspace);
  }
  finish_products(weight_.zero_row, bias, x.n, rows_, y.data());
}

// Code − zero point has nine bits: the 16-bit integers of the precise arithmetic hold it as it is.
void AffineMatrix::multiply_few_codes(const CodedRows& x, int64_t first, int64_t n, float* y,
                                      const base::ParallelFor& parallel_for,
                                      Workspace::State& workspace) const {
  const auto steps = kernels::AffineSteps::of(weight_.code_bits, cols_);
  if (workspace.affine.empty()) workspace.affine.resize(kInputsAtOnce);
  const bool all[kInputsAtOnce] = {true, true, true, true, true, true, true, true};
  float* values = workspace.scaled.resize(cols_);
  for (int64_t i = 0; i < n; ++i) {
    const uint8_t* codes = x.codes.data() + (first + i) * cols_;
    const int32_t zero_point = x.zero_point(first + i);
    for (int64_t j = 0; j < cols_; ++j) values[j] = static_cast<float>(codes[j] - zero_point);
    AffineInputMemory& memory = workspace.affine[static_cast<size_t>(i)];
    const auto& input = memory.prepare(steps, true, true);
    QN_INVARIANT(kernels::affine_product_kernels().quantize(values, cols_, input));
    memory.scale = x.scale(first + i);
    memory.shift = 0;
    memory.sum = row_shifts_.empty() ? 0 : kernels::affine_input_sum(input);
  }
  add_strips(all, n, y, parallel_for, workspace);
}

// Signed bytes of 64 rows, four neighbours in an element; codes of 8 bits are moved down by 128.
void AffineMatrix::make_byte_panel(int64_t row, int64_t num_rows, int64_t first, int64_t count, float* rows64,
                                   float* panel) const {
  const int bits = weight_.code_bits;
  const int64_t col = 4 * first, num_cols = std::min(4 * count, cols_ - col), stride = 4 * count;
  auto* bytes = reinterpret_cast<uint8_t*>(rows64);
  const uint8_t down = bits == 8 ? 0x80 : 0;
  for (int64_t r = 0; r < num_rows; ++r, bytes += stride) {
    kernels::affine_product_kernels().unpack(codes_ + (row + r) * row_bytes_ + col * bits / 8, bits, num_cols,
                                             bytes);
    for (int64_t i = 0; i < num_cols; ++i) bytes[i] = static_cast<uint8_t>(bytes[i] ^ down);
    std::fill_n(bytes + num_cols, stride - num_cols, uint8_t{0});
  }
  turn_rows(rows64, count, num_rows, count, panel);
}

// With bytes w = code − down and their zero points z: Σ (x − zx)(w − z) = Σ xw − zx Σ w − z (Σ x − cols ·
// zx). Σ w comes from one more row of x, all ones.
void AffineMatrix::multiply_many_codes(const CodedRows& x, float* y, const base::ParallelFor& parallel_for,
                                       Workspace::State& workspace) const {
  const int64_t n = x.n, stride = base::round_up(cols_, 4);
  uint8_t* bytes = workspace.bytes.resize((n + 1) * stride);
  std::fill_n(bytes, (n + 1) * stride, uint8_t{0});
  for (int64_t i = 0; i < n; ++i) std::copy_n(x.codes.data() + i * cols_, cols_, bytes + i * stride);
  std::fill_n(bytes + n * stride, cols_, uint8_t{1});
  int32_t* sums = workspace.sums.resize((n + 1) * rows_);
  for_row_panels(
      rows_, stride / 4, n + 1, sums, parallel_for, workspace.panels,
      [&](int64_t row, int64_t num_rows, int64_t first, int64_t count, float* rows64, float* panel) {
        make_byte_panel(row, num_rows, first, count, rows64, panel);
      },
      [&](int64_t first, int64_t count, const float* panel, int32_t* to, int64_t to_stride, bool add) {
        kernels::byte_panel_kernels().multiply({bytes + 4 * first, stride, n + 1, count,
                                                reinterpret_cast<const uint32_t*>(panel), to, to_stride,
                                                add});
      });
  scale_sums(x, bytes, sums, y, parallel_for);
}

// The result fits 32 bits, so nothing is lost where a step on the way there does not.
void AffineMatrix::scale_sums(const CodedRows& x, const uint8_t* bytes, const int32_t* sums, float* y,
                              const base::ParallelFor& parallel_for) const {
  const int32_t down = weight_.code_bits == 8 ? 128 : 0;
  const int64_t stride = base::round_up(cols_, 4);
  const bool by_row = weight_.affine_axis == 0;
  const auto* weight_sums = reinterpret_cast<const uint32_t*>(sums + x.n * rows_);
  parallel_for(x.n, base::ceil_div(x.n, parallel_for.num_threads()), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const uint8_t* row = bytes + i * stride;
      const auto zero_point = static_cast<uint32_t>(x.zero_point(i));
      const uint32_t x_sum =
          std::accumulate(row, row + cols_, uint32_t{0}) - static_cast<uint32_t>(cols_) * zero_point;
      for (int64_t r = 0; r < rows_; ++r) {
        const auto channel = static_cast<size_t>(by_row ? r : 0);
        const auto zero = static_cast<uint32_t>(weight_.zero_points[channel] - down);
        const uint32_t sum =
            static_cast<uint32_t>(sums[i * rows_ + r]) - zero_point * weight_sums[r] - zero * x_sum;
        y[i * rows_ + r] =
            x.scale(i) * weight_.scales[channel] * static_cast<float>(static_cast<int32_t>(sum));
      }
    }
  });
}

}  // namespace quantnoise::runtime
