#pragma once
// Values for the tests of kernels, and bf16 by its definition.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "quantnoise/base/random.h"

namespace quantnoise::kernels {

inline std::vector<float> random_floats(size_t count, uint64_t seed, float spread = 2) {
  base::SequentialRandom random(seed);
  std::vector<float> values(count);
  for (float& value : values) value = spread * (2 * random.uniform() - 1);
  return values;
}

inline float from_bf16(uint16_t bits) {
  const uint32_t word = uint32_t{bits} << 16;
  float value;
  std::memcpy(&value, &word, 4);
  return value;
}
inline std::vector<float> from_bf16(const std::vector<uint16_t>& bits) {
  std::vector<float> values(bits.size());
  for (size_t i = 0; i < bits.size(); ++i) values[i] = from_bf16(bits[i]);
  return values;
}

/// Rounds to nearest even; NaN stays one.
inline uint16_t to_bf16(float value) {
  if (std::isnan(value)) return 0x7fc0;
  uint32_t word;
  std::memcpy(&word, &value, 4);
  return static_cast<uint16_t>((word + 0x7fffu + ((word >> 16) & 1)) >> 16);
}
inline std::vector<uint16_t> to_bf16(const std::vector<float>& values) {
  std::vector<uint16_t> bits(values.size());
  for (size_t i = 0; i < values.size(); ++i) bits[i] = to_bf16(values[i]);
  return bits;
}

}  // namespace quantnoise::kernels
