#include "quantnoise/codec/observer.h"

#include <cmath>
#include <string>

#include "core/codec/histogram.h"
#include "core/codec/range_search.h"
#include "quantnoise/base/checked.h"
#include "quantnoise/base/error.h"

namespace quantnoise::codec {

namespace {

struct NamedObserver {
  Observer observer;
  std::string_view name;
};

constexpr NamedObserver kObservers[] = {{Observer::kTensor, "tensor"},
                                        {Observer::kHistogram, "histogram"},
                                        {Observer::kChannel, "channel"},
                                        {Observer::kChannelL2, "channel-l2"}};

// Rows are short and evaluated as they are: a shorter search.
constexpr SearchEffort kChannelEffort{24, 1.0 / 32};

AffineGrid tensor_grid(const AffineParameters& parameters, int bits) {
  return {bits, -1, {parameters.scale}, {parameters.zero_point}};
}

AffineGrid histogram_grid(std::span<const float> weight, AffineRange extent, const ObserveOptions& options,
                          const base::ParallelFor& parallel_for) {
  ObserverState bins;
  widen_bins(bins, extent.min, extent.max);
  count_values(bins, weight, parallel_for);
  const HistogramError error(bins);
  const AffineParameters found =
      search_range(extent, options.bits, options.symmetric, {},
                   [&](const AffineParameters& candidate) { return error(candidate, options.bits); });
  const AffineParameters widest = parameters_for_range(extent, options.bits, options.symmetric);
  const auto fit = [&](const AffineParameters& candidate) {
    return fit_of(weight, candidate, options.bits, parallel_for);
  };
  const AffineParameters refined = refine_scale(found, widest, fit);
  return tensor_grid(refine_scale(scan_scales(refined, fit), refined, fit), options.bits);
}

// The values of one channel side by side; `buffer` holds them where they are not.
std::span<const float> channel_values(std::span<const float> weight, const AffineLayout& layout,
                                      int64_t channel, std::vector<float>& buffer) {
  const int64_t stride = layout.channels * layout.inner;
  const int64_t outer = layout.numel / stride;
  const float* first = weight.data() + channel * layout.inner;
  if (outer == 1) return {first, static_cast<size_t>(layout.inner)};
  buffer.resize(static_cast<size_t>(outer * layout.inner));
  for (int64_t i = 0; i < outer; ++i) {
    std::copy_n(first + i * stride, layout.inner, buffer.data() + i * layout.inner);
  }
  return buffer;
}

AffineParameters channel_parameters(std::span<const float> values, const ObserveOptions& options) {
  kernels::MinMax extent;
  const kernels::AffineRangeKernels& kernel = kernels::affine_range_kernels();
  const auto count = static_cast<int64_t>(values.size());
  kernels::affine_value_kernels().min_max(values.data(), count, &extent);
  const AffineRange range{extent.min, extent.max};
  const AffineParameters widest = parameters_for_range(range, options.bits, options.symmetric);
  if (options.observer == Observer::kChannel || (range.min == 0 && range.max == 0)) return widest;
  const auto fit = [&](const AffineParameters& candidate) {
    kernels::AffineFit sums;
    kernel.fit(step_of(candidate, options.bits), values.data(), count, &sums);
    return sums;
  };
  const AffineParameters found =
      search_range(range, options.bits, options.symmetric, kChannelEffort,
                   [&](const AffineParameters& candidate) { return fit(candidate).squared_error; });
  return refine_scale(found, found, fit);
}

AffineGrid channel_grid(std::span<const float> weight, std::span<const int64_t> shape,
                        const ObserveOptions& options, const base::ParallelFor& parallel_for) {
  QN_REQUIRE(options.axis >= 0 && options.axis < static_cast<int>(shape.size()), ErrorKind::kConfig,
             "axis of the channels: found ", options.axis, ", expected a dimension of [", join(shape, ", "),
             "]");
  const AffineLayout layout = affine_layout(shape, options.axis);
  const auto num_channels = static_cast<size_t>(layout.channels);
  AffineGrid grid{options.bits, options.axis, std::vector<float>(num_channels, 1.0f),
                  std::vector<int32_t>(num_channels, options.symmetric ? 1 << (options.bits - 1) : 0)};
  if (layout.numel == 0) return grid;
  const int64_t grain = std::max<int64_t>(1, kAffineGrain / (layout.numel / layout.channels));
  parallel_for(layout.channels, grain, [&](int64_t begin, int64_t end) {
    std::vector<float> buffer;
    for (int64_t channel = begin; channel < end; ++channel) {
      const AffineParameters parameters =
          channel_parameters(channel_values(weight, layout, channel, buffer), options);
      grid.scales[static_cast<size_t>(channel)] = parameters.scale;
      grid.zero_points[static_cast<size_t>(channel)] = parameters.zero_point;
    }
  });
  return grid;
}

}  // namespace

Observer parse_observer(std::string_view name) {
  std::vector<std::string> names;
  for (const NamedObserver& known : kObservers) {
    if (known.name == name) return known.observer;
    names.emplace_back(known.name);
  }
  throw Error(ErrorKind::kConfig,
              str_cat("observer: found '", name, "', expected one of ", join(names, ", ")));
}

std::string_view observer_name(Observer observer) {
  for (const NamedObserver& known : kObservers) {
    if (known.observer == observer) return known.name;
  }
  return "";
}

AffineGrid observe_weight(std::span<const float> weight, std::span<const int64_t> shape,
                          const ObserveOptions& options, const base::ParallelFor& parallel_for) {
  check_affine_bits(options.bits);
  QN_INVARIANT(static_cast<int64_t>(weight.size()) == affine_layout(shape, -1).numel);
  const kernels::MinMax seen = extent_of(weight, parallel_for);
  require_finite_extent(seen, weight, shape);
  const AffineRange extent{seen.min, seen.max};
  // Checks the magnitudes for all observers.
  const AffineGrid widest = affine_grid({&extent, 1}, options.bits, options.symmetric);
  switch (options.observer) {
    case Observer::kTensor:
      break;
    case Observer::kHistogram:
      if (extent.min == 0 && extent.max == 0) break;
      return histogram_grid(weight, extent, options, parallel_for);
    case Observer::kChannel:
    case Observer::kChannelL2:
      return channel_grid(weight, shape, options, parallel_for);
  }
  return widest;
}

}  // namespace quantnoise::codec
