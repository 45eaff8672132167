#include <cmath>

#include "core/codec/histogram.h"
#include "core/codec/range_search.h"
#include "quantnoise/base/error.h"
#include "quantnoise/codec/half.h"
#include "quantnoise/codec/observer.h"

namespace quantnoise::codec {

namespace {

void require_tensor_observer(Observer observer, ErrorKind kind) {
  QN_REQUIRE(observer == Observer::kTensor || observer == Observer::kHistogram, kind,
             "observer of activations: found ", observer_name(observer), ", expected tensor or histogram");
}

[[noreturn]] void fail_not_finite(std::span<const float> values) {
  size_t i = 0;
  while (std::isfinite(values[i])) ++i;
  throw Error(ErrorKind::kNumeric,
              str_cat("activations: element ", i, ": found ", values[i], ", expected a finite number"));
}

void check_bins(const ObserverState& state) {
  QN_REQUIRE(state.counts.size() == static_cast<size_t>(kHistogramBins), ErrorKind::kFormat,
             "observer state: found ", state.counts.size(), " bins, expected ", kHistogramBins);
  QN_REQUIRE(state.bin_exponent >= -126 && state.bin_exponent <= 127, ErrorKind::kFormat,
             "observer state: found bins of width 2^", state.bin_exponent, ", expected 2^-126 to 2^127");
  const int64_t last = bin_of(state.max, state.bin_exponent);
  QN_REQUIRE(
      bin_of(state.min, state.bin_exponent) == state.first_bin && last - state.first_bin < kHistogramBins,
      ErrorKind::kFormat, "observer state: bins from ", state.first_bin, " of width 2^", state.bin_exponent,
      " do not cover ", state.min, " to ", state.max);
  int64_t left = state.num_values;
  for (size_t i = 0; i < state.counts.size(); ++i) {
    const bool inside = static_cast<int64_t>(i) <= last - state.first_bin;
    QN_REQUIRE(state.counts[i] >= 0 && state.counts[i] <= (inside ? left : 0), ErrorKind::kFormat,
               "observer state: bin ", i, ": found a count of ", state.counts[i]);
    left -= state.counts[i];
  }
  QN_REQUIRE(left == 0, ErrorKind::kFormat, "observer state: the counts sum to ", state.num_values - left,
             ", expected ", state.num_values);
}

}  // namespace

RunningObserver::RunningObserver(Observer observer) {
  require_tensor_observer(observer, ErrorKind::kConfig);
  state_.observer = observer;
}

RunningObserver::RunningObserver(ObserverState state) : state_(std::move(state)) {
  require_tensor_observer(state_.observer, ErrorKind::kFormat);
  QN_REQUIRE(std::isfinite(state_.min) && std::isfinite(state_.max) && state_.min <= 0 && state_.max >= 0,
             ErrorKind::kFormat, "observer state: found the range ", state_.min, " to ", state_.max,
             ", expected finite numbers around 0");
  QN_REQUIRE(state_.num_values >= 0, ErrorKind::kFormat, "observer state: found ", state_.num_values,
             " values");
  if (state_.observer == Observer::kHistogram && state_.num_values > 0) {
    check_bins(state_);
  } else {
    QN_REQUIRE(state_.counts.empty(), ErrorKind::kFormat, "observer state: found ", state_.counts.size(),
               " bins, expected none");
  }
}

void RunningObserver::observe(std::span<const float> values, const base::ParallelFor& parallel_for) {
  if (values.empty()) return;
  const kernels::MinMax extent = extent_of(values, parallel_for);
  if (!extent.finite) fail_not_finite(values);
  if (state_.observer == Observer::kHistogram) {
    widen_bins(state_, extent.min, extent.max);
    return count_values(state_, values, parallel_for);
  }
  state_.min = std::min(state_.min, extent.min);
  state_.max = std::max(state_.max, extent.max);
  state_.num_values += static_cast<int64_t>(values.size());
}

void RunningObserver::observe(std::span<const uint16_t> values, const base::ParallelFor& parallel_for) {
  std::vector<float> wide(values.size());
  std::transform(values.begin(), values.end(), wide.begin(), bf16_to_float);
  observe(wide, parallel_for);
}

AffineGrid RunningObserver::grid(int bits, bool symmetric) const {
  check_affine_bits(bits);
  QN_REQUIRE(!empty(), ErrorKind::kData, "range of activations: no values have been observed");
  const AffineRange extent{state_.min, state_.max};
  AffineGrid grid = affine_grid({&extent, 1}, bits, symmetric);
  if (state_.observer == Observer::kTensor || (extent.min == 0 && extent.max == 0)) return grid;
  const HistogramError error(state_);
  const AffineParameters found = search_range(
      extent, bits, symmetric, {}, [&](const AffineParameters& candidate) { return error(candidate, bits); });
  grid.scales = {found.scale};
  grid.zero_points = {found.zero_point};
  return grid;
}

}  // namespace quantnoise::codec
