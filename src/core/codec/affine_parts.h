#pragma once
// Shared by the affine codec: the channels of a shape, and one channel's scale and zero point.

#include <algorithm>
#include <cstdint>
#include <span>

#include "quantnoise/base/parallel.h"
#include "quantnoise/codec/affine.h"
#include "quantnoise/kernels/affine.h"

namespace quantnoise::codec {

/// Elements of a chunk: of fixed size, so that sums do not depend on the threads; a multiple of 8, so that a
/// chunk of the noise pass begins with a whole block of draws.
inline constexpr int64_t kAffineGrain = int64_t{1} << 16;

/// Far below, 1 / scale is no longer a finite fp32 number.
inline constexpr float kSmallestScale = 0x1p-126f;

struct AffineParameters {
  float scale = 1;
  int32_t zero_point = 0;

  bool operator==(const AffineParameters&) const = default;
};

/// The formulas of affine_grid(). range: finite, of magnitudes up to 2^126.
AffineParameters parameters_for_range(AffineRange range, int bits, bool symmetric);

/// Errors: kConfig unless bits is 2 … 8.
void check_affine_bits(int bits);

inline kernels::AffineStep step_of(const AffineParameters& parameters, int bits) {
  return kernels::affine_step(parameters.scale, parameters.zero_point, bits);
}
inline kernels::AffineStep step_of(const AffineGrid& grid, int64_t channel) {
  const auto i = static_cast<size_t>(channel);
  return kernels::affine_step(grid.scales[i], grid.zero_points[i], grid.bits);
}

/// Element i belongs to channel (i / inner) mod channels.
struct AffineLayout {
  int64_t numel = 1;
  int64_t channels = 1;
  int64_t inner = 1;
};

/// axis: −1 or a dimension of the shape.
AffineLayout affine_layout(std::span<const int64_t> shape, int axis);

/// The layout of a weight whose grid is checked. Errors: kConfig.
AffineLayout checked_affine_layout(std::span<const int64_t> shape, const AffineGrid& grid);

/// Calls visit(channel, first, count) for the longest runs of one channel in [begin, end), in order.
template <typename Visit>
void for_each_run(const AffineLayout& layout, int64_t begin, int64_t end, const Visit& visit) {
  while (begin < end) {
    const int64_t run = begin / layout.inner;
    const int64_t stop = layout.channels == 1 ? end : std::min(end, (run + 1) * layout.inner);
    visit(run % layout.channels, begin, stop - begin);
    begin = stop;
  }
}

/// Smallest and largest value, widened to hold 0.
kernels::MinMax extent_of(std::span<const float> values, const base::ParallelFor& parallel_for);

/// Errors: kNumeric with row and column when an extent found a value that is not finite.
void require_finite_extent(const kernels::MinMax& extent, std::span<const float> weight,
                           std::span<const int64_t> shape);

/// Sums of the values on the grid of one channel, chunk by chunk.
kernels::AffineFit fit_of(std::span<const float> values, const AffineParameters& parameters, int bits,
                          const base::ParallelFor& parallel_for);

}  // namespace quantnoise::codec
