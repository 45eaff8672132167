#include "quantnoise/codec/affine.h"

#include <cmath>

#include "core/codec/affine_parts.h"
#include "quantnoise/base/checked.h"

namespace quantnoise::codec {

namespace {

constexpr float kLargestMagnitude = 0x1p126f;

void check_range(AffineRange range) {
  QN_REQUIRE(std::abs(range.min) <= kLargestMagnitude && std::abs(range.max) <= kLargestMagnitude,
             ErrorKind::kNumeric, "range to quantize: found ", range.min, " to ", range.max,
             ", expected magnitudes of at most 2^126");
}

// out = kernel(x), run by run with the step of the run's channel.
template <typename In, typename Out>
void run_kernel(void (*kernel)(const kernels::AffineStep&, const In*, int64_t, Out*), std::span<const In> x,
                std::span<const int64_t> shape, const AffineGrid& grid, std::span<Out> out,
                const base::ParallelFor& parallel_for) {
  const AffineLayout layout = checked_affine_layout(shape, grid);
  QN_INVARIANT(static_cast<int64_t>(x.size()) == layout.numel && out.size() == x.size());
  parallel_for(layout.numel, kAffineGrain, [&](int64_t begin, int64_t end) {
    for_each_run(layout, begin, end, [&](int64_t channel, int64_t first, int64_t count) {
      kernel(step_of(grid, channel), x.data() + first, count, out.data() + first);
    });
  });
}

}  // namespace

AffineRange AffineGrid::range(size_t channel) const {
  return {static_cast<float>(-zero_points[channel]) * scales[channel],
          static_cast<float>(max_code() - zero_points[channel]) * scales[channel]};
}

AffineGrid affine_grid(std::span<const AffineRange> ranges, int bits, bool symmetric, int axis) {
  check_affine_bits(bits);
  QN_REQUIRE(axis >= 0 || ranges.size() == 1, ErrorKind::kConfig, "ranges of a tensor: found ", ranges.size(),
             ", expected 1");
  AffineGrid grid{bits, axis, {}, {}};
  grid.scales.reserve(ranges.size());
  grid.zero_points.reserve(ranges.size());
  for (const AffineRange& range : ranges) {
    check_range(range);
    const AffineParameters parameters = parameters_for_range(range, bits, symmetric);
    grid.scales.push_back(parameters.scale);
    grid.zero_points.push_back(parameters.zero_point);
  }
  return grid;
}

std::vector<uint8_t> quantize_affine(std::span<const float> weight, std::span<const int64_t> shape,
                                     const AffineGrid& grid, const base::ParallelFor& parallel_for) {
  require_finite_extent(extent_of(weight, parallel_for), weight, shape);
  std::vector<uint8_t> codes(weight.size());
  run_kernel<float, uint8_t>(kernels::affine_code_kernels().quantize, weight, shape, grid, codes,
                             parallel_for);
  return codes;
}

void dequantize_affine(std::span<const uint8_t> codes, std::span<const int64_t> shape, const AffineGrid& grid,
                       std::span<float> out, const base::ParallelFor& parallel_for) {
  run_kernel(kernels::affine_code_kernels().dequantize_f32, codes, shape, grid, out, parallel_for);
}

void dequantize_affine(std::span<const uint8_t> codes, std::span<const int64_t> shape, const AffineGrid& grid,
                       std::span<uint16_t> out, const base::ParallelFor& parallel_for) {
  run_kernel(kernels::affine_code_kernels().dequantize_bf16, codes, shape, grid, out, parallel_for);
}

void fake_quantize(std::span<const float> x, std::span<const int64_t> shape, const AffineGrid& grid,
                   std::span<float> out, const base::ParallelFor& parallel_for) {
  run_kernel(kernels::affine_value_kernels().fake_quantize_f32, x, shape, grid, out, parallel_for);
}

void fake_quantize(std::span<const float> x, std::span<const int64_t> shape, const AffineGrid& grid,
                   std::span<uint16_t> out, const base::ParallelFor& parallel_for) {
  run_kernel(kernels::affine_value_kernels().fake_quantize_f32_to_bf16, x, shape, grid, out, parallel_for);
}

void fake_quantize(std::span<const uint16_t> x, std::span<const int64_t> shape, const AffineGrid& grid,
                   std::span<uint16_t> out, const base::ParallelFor& parallel_for) {
  run_kernel(kernels::affine_value_kernels().fake_quantize_bf16, x, shape, grid, out, parallel_for);
}

namespace {

/// use(row, values, grid's step) for every row of x, each on the grid of its own smallest and largest value.
template <typename Use>
void for_each_row(std::span<const float> x, int64_t rows, int64_t cols, int bits, bool symmetric,
                  const base::ParallelFor& parallel_for, const Use& use) {
  check_affine_bits(bits);
  QN_INVARIANT(static_cast<int64_t>(x.size()) == rows * cols);
  if (cols == 0) return;
  parallel_for(rows, base::ceil_div(kAffineGrain, cols), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* values = x.data() + row * cols;
      kernels::MinMax extent;
      kernels::affine_value_kernels().min_max(values, cols, &extent);
      require_finite_extent(extent, x, {{rows, cols}});
      const AffineRange range{extent.min, extent.max};
      check_range(range);
      use(row, values, step_of(parameters_for_range(range, bits, symmetric), bits));
    }
  });
}

}  // namespace

void fake_quantize_rows(std::span<const float> x, int64_t rows, int64_t cols, int bits, bool symmetric,
                        std::span<float> out, const base::ParallelFor& parallel_for) {
  QN_INVARIANT(out.size() == x.size());
  for_each_row(x, rows, cols, bits, symmetric, parallel_for,
               [&](int64_t row, const float* values, const kernels::AffineStep& step) {
                 kernels::affine_value_kernels().fake_quantize_f32(step, values, cols,
                                                                   out.data() + row * cols);
               });
}

bool quantize_rows(std::span<const float> x, int64_t rows, int64_t cols, const AffineGrid& grid,
                   std::span<uint8_t> codes, const base::ParallelFor& parallel_for) {
  QN_INVARIANT(grid.axis == -1 && static_cast<int64_t>(x.size()) == rows * cols && codes.size() == x.size());
  if (!extent_of(x, parallel_for).finite) return false;
  const int64_t shape[] = {rows, cols};
  run_kernel<float, uint8_t>(kernels::affine_code_kernels().quantize, x, shape, grid, codes, parallel_for);
  return true;
}

void quantize_rows(std::span<const float> x, int64_t rows, int64_t cols, int bits, bool symmetric,
                   std::span<uint8_t> codes, std::span<float> scales, std::span<int32_t> zero_points,
                   const base::ParallelFor& parallel_for) {
  QN_INVARIANT(codes.size() == x.size() && static_cast<int64_t>(scales.size()) == rows &&
               static_cast<int64_t>(zero_points.size()) == rows);
  for_each_row(x, rows, cols, bits, symmetric, parallel_for,
               [&](int64_t row, const float* values, const kernels::AffineStep& step) {
                 kernels::affine_code_kernels().quantize(step, values, cols, codes.data() + row * cols);
                 scales[static_cast<size_t>(row)] = step.scale;
                 zero_points[static_cast<size_t>(row)] = step.zero_point;
               });
}

double affine_squared_error(std::span<const float> weight, std::span<const int64_t> shape,
                            const AffineGrid& grid, const base::ParallelFor& parallel_for) {
  const AffineLayout layout = checked_affine_layout(shape, grid);
  QN_INVARIANT(static_cast<int64_t>(weight.size()) == layout.numel);
  std::vector<kernels::AffineFit> parts(static_cast<size_t>(base::ceil_div(layout.numel, kAffineGrain)));
  parallel_for(layout.numel, kAffineGrain, [&](int64_t begin, int64_t end) {
    kernels::AffineFit& part = parts[static_cast<size_t>(begin / kAffineGrain)];
    for_each_run(layout, begin, end, [&](int64_t channel, int64_t first, int64_t count) {
      kernels::affine_range_kernels().fit(step_of(grid, channel), weight.data() + first, count, &part);
    });
  });
  double total = 0;
  for (const kernels::AffineFit& part : parts) total += part.squared_error;
  return total;
}

}  // namespace quantnoise::codec
