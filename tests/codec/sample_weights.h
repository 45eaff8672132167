#pragma once
// Weights for the tests of the affine codec.

#include <cmath>
#include <cstdint>
#include <vector>

#include "quantnoise/base/random.h"

namespace quantnoise::codec::test {

/// `count` draws of a normal distribution (Box and Muller).
inline std::vector<float> gaussian(size_t count, uint64_t seed, double deviation = 0.05) {
  base::SequentialRandom random(seed);
  const auto uniform = [&] { return (random.next() + 0.5) / 4294967296.0; };
  std::vector<float> values(count);
  for (float& value : values) {
    const double radius = std::sqrt(-2 * std::log(uniform()));
    value = static_cast<float>(deviation * radius * std::cos(6.283185307179586 * uniform()));
  }
  return values;
}

//// Kinds: bell, heavy tails, one-sided, two far outliers, steps, all positive and far from zero.
inline std::vector<float> distribution(int kind, size_t count, uint64_t seed) {
  std::vector<float> x = gaussian(count, seed, 1);
  for (size_t i = 0; i < count; ++i) {
    if (kind == 1) x[i] = x[i] * x[i] * x[i];
    if (kind == 2) x[i] = std::fmax(x[i], 0.0f);
    if (kind == 4) x[i] = std::nearbyint(x[i]);
    if (kind == 5) x[i] += 20;
  }
  if (kind == 3) {
    x[count / 2] = 60;
    x[count / 3] = -25;
  }
  return x;
}
inline constexpr int kDistributions = 6;

inline double squared_norm(const std::vector<float>& values) {
  double sum = 0;
  for (const float value : values) sum += double{value} * value;
  return sum;
}

inline double squared_distance(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
  return sum;
}

}  // namespace quantnoise::codec::test
