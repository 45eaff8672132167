#include "core/codec/histogram.h"

#include <cmath>

#include "quantnoise/base/checked.h"

namespace quantnoise::codec {

namespace {

constexpr int kSmallestExponent = -126;

int smallest_exponent(float min, float max, int at_least) {
  const double span = static_cast<double>(max) - static_cast<double>(min);
  int exponent = at_least;
  // 2^ilogb(span) / 2^exponent = 2,048 is one bin too many: the loop takes few steps from there.
  if (span > 0) exponent = std::max(exponent, std::ilogb(span) - 11);
  while (bin_of(max, exponent) - bin_of(min, exponent) >= kHistogramBins) ++exponent;
  return exponent;
}

}  // namespace

int64_t bin_of(float value, int exponent) {
  return static_cast<int64_t>(std::floor(std::ldexp(static_cast<double>(value), -exponent)));
}

void widen_bins(ObserverState& state, float min, float max) {
  min = std::min(min, state.min);
  max = std::max(max, state.max);
  if (state.counts.empty()) {
    state.bin_exponent = smallest_exponent(min, max, kSmallestExponent);
    state.counts.assign(static_cast<size_t>(kHistogramBins), 0);
  } else {
    const int exponent = smallest_exponent(min, max, state.bin_exponent);
    const int shift = std::min(exponent - state.bin_exponent, 62);
    const int64_t first = bin_of(min, exponent);
    std::vector<int64_t> merged(static_cast<size_t>(kHistogramBins));
    for (size_t i = 0; i < state.counts.size(); ++i) {
      if (state.counts[i] == 0) continue;
      const int64_t bin = (state.first_bin + static_cast<int64_t>(i)) >> shift;
      merged[static_cast<size_t>(bin - first)] += state.counts[i];
    }
    state.counts = std::move(merged);
    state.bin_exponent = exponent;
  }
  state.first_bin = bin_of(min, state.bin_exponent);
  state.min = min;
  state.max = max;
}

void count_values(ObserverState& state, std::span<const float> values,
                  const base::ParallelFor& parallel_for) {
  constexpr int64_t kGrain = int64_t{1} << 18;
  const auto count = static_cast<int64_t>(values.size());
  const kernels::HistogramBins bins{std::ldexp(1.0f, -state.bin_exponent),
                                    static_cast<int32_t>(state.first_bin),
                                    static_cast<int32_t>(kHistogramBins)};
  std::vector<std::vector<int64_t>> parts(static_cast<size_t>(base::ceil_div(count, kGrain)));
  parallel_for(count, kGrain, [&](int64_t begin, int64_t end) {
    std::vector<int64_t>& part = parts[static_cast<size_t>(begin / kGrain)];
    part.assign(static_cast<size_t>(kHistogramBins), 0);
    kernels::affine_range_kernels().histogram(bins, values.data() + begin, end - begin, part.data());
  });
  for (const std::vector<int64_t>& part : parts) {
    for (size_t i = 0; i < part.size(); ++i) state.counts[i] += part[i];
  }
  state.num_values += count;
}

HistogramError::HistogramError(const ObserverState& state)
    : width_(std::ldexp(1.0, state.bin_exponent)),
      inverse_width_(std::ldexp(1.0, -state.bin_exponent)),
      first_bin_(state.first_bin),
      counts_(state.counts),
      prefix_(state.counts.size() + 1) {
  for (size_t i = 0; i < counts_.size(); ++i) {
    const auto count = static_cast<double>(counts_[i]);
    const double left = width_ * static_cast<double>(first_bin_ + static_cast<int64_t>(i));
    const Moments& before = prefix_[i];
    prefix_[i + 1] = {before.count + count, before.sum + count * (left + width_ / 2),
                      before.squares + count * (left * left + left * width_ + width_ * width_ / 3)};
  }
}

HistogramError::Moments HistogramError::below(double x) const {
  const double position = x * inverse_width_ - static_cast<double>(first_bin_);
  if (!(position > 0)) return {};
  if (position >= static_cast<double>(counts_.size())) return prefix_.back();
  const auto i = static_cast<size_t>(position);
  const double part = width_ * (position - static_cast<double>(i));  // of the bin's width
  const double left = width_ * static_cast<double>(first_bin_ + static_cast<int64_t>(i));
  const double count = static_cast<double>(counts_[i]) * (position - static_cast<double>(i));
  const Moments& before = prefix_[i];
  return {before.count + count, before.sum + count * (left + part / 2),
          before.squares + count * (left * left + left * part + part * part / 3)};
}

double HistogramError::operator()(const AffineParameters& parameters, int bits) const {
  const double scale = parameters.scale;
  double error = 0;
  Moments before;
  const int max_code = (1 << bits) - 1;
  for (int code = 0; code <= max_code; ++code) {
    const double multiple = code - parameters.zero_point;
    const Moments after = code == max_code ? prefix_.back() : below((multiple + 0.5) * scale);
    const double value = multiple * scale;
    error += after.squares - before.squares - 2 * value * (after.sum - before.sum) +
             value * value * (after.count - before.count);
    before = after;
  }
  return std::max(error, 0.0);
}

}  // namespace quantnoise::codec
