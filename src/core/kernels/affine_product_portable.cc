// The specification of the affine products: one number at a time. The integers lie as int16, (step, part,
// byte of the step).

#include "core/kernels/affine_product_spec.h"

namespace quantnoise::kernels {
namespace {

/// Rounds to the nearest even integer, for magnitudes below 2^22.
inline int16_t round_even(float value) {
  const float shifted = value + 12582912.0f;  // 1.5 · 2^23: the integer sits in the low mantissa bits
  return static_cast<int16_t>(static_cast<int32_t>(bits_of(shifted)) - 0x4b400000);
}

uint32_t largest_bits(const float* x, int64_t count) {
  uint32_t largest = 0;
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t bits = bits_of(x[i]) & 0x7fffffffu;
    largest = bits > largest ? bits : largest;
  }
  return largest;
}

bool quantize(const float* x, int64_t cols, const AffineInput& input) noexcept {
  if (!fits(largest_bits(x, cols))) return false;
  const AffineSteps& steps = input.steps;
  auto* integers = reinterpret_cast<int16_t*>(input.integers);
  for (int64_t lane = 0; lane < steps.num_steps * kAffineLanes; ++lane) {
    const int64_t column = lane * 4 * steps.parts, group = column / kAffineGroup * kAffineGroup;
    const int64_t in_group = cols - group < kAffineGroup ? cols - group : kAffineGroup;
    const GroupFactor factor(group < cols ? largest_bits(x + group, in_group) : 0, input);
    int32_t sum = 0;
    for (int i = 0; i < 4 * steps.parts; ++i) {
      const int16_t integer = column + i < cols ? round_even(x[column + i] * factor.inverse) : int16_t{0};
      const int64_t step = lane / kAffineLanes, byte = lane % kAffineLanes * 4 + i / steps.parts;
      integers[(step * steps.parts + i % steps.parts) * 64 + byte] = integer;
      sum += integer;
    }
    input.offsets[lane] = -steps.middle() * sum;
    input.factors[lane] = factor.factor;
  }
  return true;
}

void multiply(const AffineInput& input, const AffineRows& rows, float* out) noexcept {
  const AffineSteps& steps = input.steps;
  const auto* integers = reinterpret_cast<const int16_t*>(input.integers);
  const int64_t num_codes = rows.row_bytes * 8 / steps.bits;
  for (int64_t row = 0; row < rows.num_rows; ++row) {
    const uint8_t* codes = rows.codes + row * rows.row_bytes;
    float lanes[kAffineLanes] = {};
    for (int64_t step = 0; step < steps.num_steps; ++step) {
      for (int lane = 0; lane < kAffineLanes; ++lane) {
        const int64_t at = step * kAffineLanes + lane;
        int32_t sum = input.offsets[at];
        for (int i = 0; i < 4 * steps.parts; ++i) {
          const int64_t column = at * 4 * steps.parts + i;
          if (column >= num_codes) break;
          sum += code_at(codes, steps.bits, column) *
                 integers[(step * steps.parts + i % steps.parts) * 64 + lane * 4 + i / steps.parts];
        }
        lanes[lane] = lanes[lane] + input.factors[at] * static_cast<float>(sum);
      }
    }
    out[row] = sum_of_lanes(lanes);
  }
}

void unpack(const uint8_t* codes, int bits, int64_t count, uint8_t* out) noexcept {
  unpack_one_by_one(codes, bits, 0, count, out);
}

}  // namespace

const AffineProductKernels kAffineProductPortable = {"portable", quantize, multiply, unpack};

}  // namespace quantnoise::kernels
