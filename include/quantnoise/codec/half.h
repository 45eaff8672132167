#pragma once
// 16-bit floats as raw bits: IEEE half (fp16) and bfloat16. Round to nearest even; NaN stays NaN.

#include <bit>
#include <cstdint>

namespace quantnoise::codec {

inline uint16_t float_to_bf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

inline float bf16_to_float(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

/// Values above 65504 round to infinity as IEEE 754 asks.
uint16_t float_to_half(float value);
float half_to_float(uint16_t bits);

}  // namespace quantnoise::codec
