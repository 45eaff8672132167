#pragma once
// Histograms whose bins are as wide as a power of two (ObserverState), and what they say about the error of
// an affine grid.

#include <span>
#include <vector>

#include "core/codec/affine_parts.h"
#include "quantnoise/codec/observer.h"

namespace quantnoise::codec {

inline constexpr int64_t kHistogramBins = 2048;

/// Number of the bin of width 2^exponent that holds the value.
int64_t bin_of(float value, int exponent);

/// Makes the state's range and bins cover [min, max], with the narrowest bins that can.
void widen_bins(ObserverState& state, float min, float max);

/// Counts finite values inside the range.
void count_values(ObserverState& state, std::span<const float> values, const base::ParallelFor& parallel_for);

/// Σ (x − value(x))² for values spread evenly inside their bins.
class HistogramError {
 public:
  explicit HistogramError(const ObserverState& state);

  double operator()(const AffineParameters& parameters, int bits) const;

 private:
  // Count, sum and sum of squares.
  struct Moments {
    double count = 0, sum = 0, squares = 0;
  };

  // Of the values below x.
  Moments below(double x) const;

  double width_;
  double inverse_width_;
  int64_t first_bin_;
  std::vector<int64_t> counts_;
  std::vector<Moments> prefix_;  // of the bins before each, and of all
};

}  // namespace quantnoise::codec
