#include "core/codec/affine_parts.h"

#include <cmath>
#include <vector>

#include "core/codec/blocks.h"
#include "quantnoise/base/checked.h"
#include "quantnoise/base/error.h"

namespace quantnoise::codec {

namespace {

std::string shape_text(std::span<const int64_t> shape) { return str_cat("[", join(shape, ", "), "]"); }

}  // namespace

void check_affine_bits(int bits) {
  QN_REQUIRE(bits >= 2 && bits <= 8, ErrorKind::kConfig, "bits of affine quantization: found ", bits,
             ", expected 2 to 8");
}

AffineParameters parameters_for_range(AffineRange range, int bits, bool symmetric) {
  const float low = std::min(range.min, 0.0f), high = std::max(range.max, 0.0f);
  const auto steps = static_cast<float>((1 << bits) - 1);
  const int32_t middle = 1 << (bits - 1);
  if (low == 0 && high == 0) return {1.0f, symmetric ? middle : 0};
  if (symmetric) return {std::max(std::max(-low, high) / (steps / 2), kSmallestScale), middle};
  const float scale = std::max((high - low) / steps, kSmallestScale);
  const float zero_point = std::nearbyint(-low / scale);
  return {scale, static_cast<int32_t>(std::min(zero_point, steps))};
}

AffineLayout affine_layout(std::span<const int64_t> shape, int axis) {
  AffineLayout layout;
  for (size_t i = 0; i < shape.size(); ++i) {
    QN_REQUIRE(shape[i] >= 0, ErrorKind::kConfig, "shape: found ", shape_text(shape),
               ", expected dimensions of at least 0");
    layout.numel = static_cast<int64_t>(
        base::checked_mul(static_cast<uint64_t>(layout.numel), static_cast<uint64_t>(shape[i]), "elements"));
    if (static_cast<int>(i) > axis) layout.inner *= std::max<int64_t>(1, shape[i]);
  }
  if (axis >= 0) layout.channels = shape[static_cast<size_t>(axis)];
  return layout;
}

void check_affine_grid(const AffineGrid& grid, std::span<const int64_t> shape, ErrorKind kind) {
  QN_REQUIRE(grid.bits >= 2 && grid.bits <= 8, kind, "bits of affine codes: found ", grid.bits,
             ", expected 2 to 8");
  QN_REQUIRE(grid.axis >= -1 && grid.axis < static_cast<int>(shape.size()), kind, "axis: found ", grid.axis,
             ", expected -1 (per tensor) or a dimension of ", shape_text(shape));
  const auto count = static_cast<size_t>(grid.axis < 0 ? 1 : shape[static_cast<size_t>(grid.axis)]);
  QN_REQUIRE(grid.scales.size() == count && grid.zero_points.size() == count, kind,
             "scales of an affine weight: found ", grid.scales.size(), " and ", grid.zero_points.size(),
             " zero points, expected ", count, " of each");
  for (const float scale : grid.scales) {
    QN_REQUIRE(std::isfinite(scale) && scale >= kSmallestScale, kind, "scales: found ", scale,
               ", expected finite numbers of at least 2^-126");
  }
  for (const int32_t zero_point : grid.zero_points) {
    QN_REQUIRE(zero_point >= 0 && zero_point <= grid.max_code(), kind, "zero points: found ", zero_point,
               ", expected 0 to ", grid.max_code(), " for codes of ", grid.bits, " bits");
  }
}

AffineLayout checked_affine_layout(std::span<const int64_t> shape, const AffineGrid& grid) {
  check_affine_grid(grid, shape, ErrorKind::kConfig);
  return affine_layout(shape, grid.axis);
}

kernels::MinMax extent_of(std::span<const float> values, const base::ParallelFor& parallel_for) {
  const auto count = static_cast<int64_t>(values.size());
  std::vector<kernels::MinMax> parts(static_cast<size_t>(base::ceil_div(count, kAffineGrain)));
  parallel_for(count, kAffineGrain, [&](int64_t begin, int64_t end) {
    kernels::affine_value_kernels().min_max(values.data() + begin, end - begin,
                                            &parts[static_cast<size_t>(begin / kAffineGrain)]);
  });
  kernels::MinMax extent;
  for (const kernels::MinMax& part : parts) {
    extent.min = std::min(extent.min, part.min);
    extent.max = std::max(extent.max, part.max);
    extent.finite = extent.finite && part.finite;
  }
  return extent;
}

void require_finite_extent(const kernels::MinMax& extent, std::span<const float> weight,
                           std::span<const int64_t> shape) {
  if (extent.finite) return;
  const int64_t rows = shape.empty() ? 1 : std::max<int64_t>(1, shape[0]);
  require_finite(weight, std::max<int64_t>(1, static_cast<int64_t>(weight.size()) / rows));
}

kernels::AffineFit fit_of(std::span<const float> values, const AffineParameters& parameters, int bits,
                          const base::ParallelFor& parallel_for) {
  const auto count = static_cast<int64_t>(values.size());
  const kernels::AffineStep step = step_of(parameters, bits);
  std::vector<kernels::AffineFit> parts(static_cast<size_t>(base::ceil_div(count, kAffineGrain)));
  parallel_for(count, kAffineGrain, [&](int64_t begin, int64_t end) {
    kernels::affine_range_kernels().fit(step, values.data() + begin, end - begin,
                                        &parts[static_cast<size_t>(begin / kAffineGrain)]);
  });
  kernels::AffineFit total;
  for (const kernels::AffineFit& part : parts) {
    total.squared_error += part.squared_error;
    total.cross += part.cross;
    total.squares += part.squares;
  }
  return total;
}

}  // namespace quantnoise::codec
