#pragma once
// What all sets have to agree on. The files of the sets include this: no library templates, nothing with
// external linkage.

#include "quantnoise/kernels/affine_product.h"

namespace quantnoise::kernels {
namespace {

// integer = round(x · (largest integer / largest magnitude of the group)), half to even; factor = largest
// magnitude / largest integer. 16-bit integers are 256 · (signed byte) + (signed byte), hence no more than
// 127 · 256 + 127. A lane's sum stays below 2^24: 128 · 4 · 32639, so fp32 holds it exactly.
constexpr float kLargest16 = 32639;
constexpr float kLargest8 = 127;

// The largest magnitude of x as fp32 bits: beyond it the input is not for this arithmetic. Smaller groups
// than kSmallest count as zeros.
constexpr float kLargestInput = 1e30f;
constexpr float kSmallestInput = 1e-30f;

inline uint32_t bits_of(float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, sizeof(bits));
  return bits;
}

inline bool fits(uint32_t largest_bits) {
  return largest_bits == 0 ||
         (largest_bits <= bits_of(kLargestInput) && largest_bits >= bits_of(kSmallestInput));
}

/// Factor of a group and its inverse, from the bits of the largest magnitude.
struct GroupFactor {
  float factor = 0;
  float inverse = 0;

  GroupFactor(uint32_t largest_bits, const AffineInput& input) {
    float largest;
    __builtin_memcpy(&largest, &largest_bits, sizeof(largest));
    if (largest < kSmallestInput) return;
    const float limit = input.precise ? kLargest16 : kLargest8;
    factor = input.whole ? 1 : largest / limit;
    inverse = input.whole ? 1 : limit / largest;
  }
};

/// The sum of 16 lanes in a fixed order.
inline float sum_of_lanes(const float* lanes) {
  float sums[8];
  for (int i = 0; i < 8; ++i) sums[i] = lanes[i] + lanes[i + 8];
  for (int i = 0; i < 4; ++i) sums[i] = sums[i] + sums[i + 4];
  for (int i = 0; i < 2; ++i) sums[i] = sums[i] + sums[i + 2];
  return sums[0] + sums[1];
}

/// Code number `index` of a bit-packed row; reads no byte that holds none of it.
inline int code_at(const uint8_t* codes, int bits, int64_t index) {
  const int64_t bit = index * bits;
  const int shift = static_cast<int>(bit % 8);
  unsigned word = codes[bit / 8];
  if (shift + bits > 8) word |= static_cast<unsigned>(codes[bit / 8 + 1]) << 8;
  return static_cast<int>((word >> shift) & ((1u << bits) - 1));
}

inline void unpack_one_by_one(const uint8_t* codes, int bits, int64_t first, int64_t count, uint8_t* out) {
  for (int64_t i = first; i < count; ++i) out[i] = static_cast<uint8_t>(code_at(codes, bits, i));
}

}  // namespace
}  // namespace quantnoise::kernels
