#pragma once
// The search for the affine range of least squared error (formula: quantnoise/codec/observer.h).

#include <functional>

#include "core/codec/affine_parts.h"

namespace quantnoise::codec {

/// Σ (x − value(x))², or an estimate of it.
using SquaredError = std::function<double(const AffineParameters&)>;
/// The exact sums over the data.
using FitData = std::function<kernels::AffineFit(const AffineParameters&)>;

struct SearchEffort {
  int thresholds = 40;        ///< clipping thresholds tried: extent · 2^(−i/4)
  double finest = 1.0 / 256;  ///< smallest relative move of the scale
};

/// The best parameters found; those of `extent`, the range of all values, are the first candidate.
AffineParameters search_range(AffineRange extent, int bits, bool symmetric, const SearchEffort& effort,
                              const SquaredError& error);

/// The best of `start` and 32 scales within 1/64 of its own. On the data itself the error has many narrow
/// valleys, which neither bins nor moves downhill find.
AffineParameters scan_scales(const AffineParameters& start, const FitData& fit);

/// Alternates between the best multiples for a scale and the best scale for the multiples. Never worse than
/// `start`; neither than `fallback`.
AffineParameters refine_scale(const AffineParameters& start, const AffineParameters& fallback,
                              const FitData& fit);

}  // namespace quantnoise::codec
