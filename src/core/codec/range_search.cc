#include "core/codec/range_search.h"

namespace quantnoise::codec {

namespace {

constexpr double kFourthRootOfHalf = 0.8408964152537146;
constexpr double kFirstSmallStep = 1.0 / 16;
constexpr int kMovesPerStep = 6;
constexpr int kRefinements = 8;
constexpr int kScannedScales = 16;  // to either side
constexpr double kScanStep = 1.0 / 1024;
constexpr double kWorthwhile = 1e-6;  // relative fall of the error for which another pass is made

class RangeSearch {
 public:
  RangeSearch(AffineRange extent, int bits, bool symmetric, const SquaredError& error)
      : extent_(extent), bits_(bits), symmetric_(symmetric), error_(error), best_range_(extent) {
    best_ = parameters_for_range(extent, bits, symmetric);
    best_error_ = error(best_);
  }

  void clip_at_thresholds(int count) {
    double top = std::max(-extent_.min, extent_.max);
    for (int i = 0; i < count; ++i) {
      top *= kFourthRootOfHalf;
      const auto threshold = static_cast<float>(top);
      consider_range({-threshold, threshold});
    }
  }

  // One end at a time: for data that lies to one side.
  void move_ends() {
    for (double step = 0.25; step > kFirstSmallStep; step /= 2) {
      for (int i = 0; i < kMovesPerStep && move_ends_by(step); ++i) {
      }
    }
  }

  // Scale and zero point themselves, which also go a little beyond the extent.
  void move_parameters(double finest) {
    for (double step = kFirstSmallStep; step >= finest; step /= 2) {
      for (int i = 0; i < kMovesPerStep && move_parameters_by(step); ++i) {
      }
    }
  }

  const AffineParameters& best() const { return best_; }

 private:
  bool consider(const AffineParameters& candidate) {
    if (candidate == best_) return false;
    const double error = error_(candidate);
    if (!(error < best_error_)) return false;
    best_ = candidate;
    best_error_ = error;
    return true;
  }

  // The range is cut to the extent.
  bool consider_range(AffineRange range) {
    range = {std::max(range.min, extent_.min), std::min(range.max, extent_.max)};
    if (range.min == 0 && range.max == 0) return false;
    if (!consider(parameters_for_range(range, bits_, symmetric_))) return false;
    best_range_ = range;
    return true;
  }

  bool move_ends_by(double step) {
    bool moved = false;
    for (const double factor : {1 - step, 1 + step}) {
      const AffineRange at = best_range_;
      const AffineRange to{static_cast<float>(at.min * factor), static_cast<float>(at.max * factor)};
      if (symmetric_) {
        moved |= consider_range(to);
      } else {
        moved |= consider_range({to.min, at.max});
        moved |= consider_range({best_range_.min, to.max});
      }
    }
    return moved;
  }

  bool move_parameters_by(double step) {
    bool moved = false;
    const AffineParameters at = best_;
    for (int shift = symmetric_ ? 0 : -1; shift <= (symmetric_ ? 0 : 1); ++shift) {
      const int32_t zero_point = at.zero_point + shift;
      if (zero_point < 0 || zero_point >= 1 << bits_) continue;
      for (const double factor : {1 - step, 1.0, 1 + step}) {
        const auto scale = static_cast<float>(at.scale * factor);
        if (scale >= kSmallestScale) moved |= consider({scale, zero_point});
      }
    }
    return moved;
  }

  AffineRange extent_;
  int bits_;
  bool symmetric_;
  const SquaredError& error_;
  AffineRange best_range_;
  AffineParameters best_;
  double best_error_ = 0;
};

}  // namespace

AffineParameters search_range(AffineRange extent, int bits, bool symmetric, const SearchEffort& effort,
                              const SquaredError& error) {
  RangeSearch search(extent, bits, symmetric, error);
  search.clip_at_thresholds(effort.thresholds);
  search.move_ends();
  search.move_parameters(effort.finest);
  return search.best();
}

AffineParameters scan_scales(const AffineParameters& start, const FitData& fit) {
  AffineParameters best = start;
  double best_error = fit(start).squared_error;
  for (int i = -kScannedScales; i <= kScannedScales; ++i) {
    const AffineParameters candidate{static_cast<float>(start.scale * (1 + i * kScanStep)), start.zero_point};
    if (candidate == start || !(candidate.scale >= kSmallestScale)) continue;
    const double error = fit(candidate).squared_error;
    if (!(error < best_error)) continue;
    best = candidate;
    best_error = error;
  }
  return best;
}

AffineParameters refine_scale(const AffineParameters& start, const AffineParameters& fallback,
                              const FitData& fit) {
  AffineParameters best = start;
  kernels::AffineFit sums = fit(start);
  for (int i = 0; i < kRefinements && sums.squares > 0; ++i) {
    const AffineParameters next{static_cast<float>(sums.cross / sums.squares), start.zero_point};
    if (next == best || !(next.scale >= kSmallestScale)) break;
    const kernels::AffineFit after = fit(next);
    if (!(after.squared_error < sums.squared_error)) break;
    const bool worthwhile = after.squared_error < sums.squared_error * (1 - kWorthwhile);
    best = next;
    sums = after;
    if (!worthwhile) break;
  }
  if (fallback == start) return best;
  return fit(fallback).squared_error < sums.squared_error ? fallback : best;
}

}  // namespace quantnoise::codec
