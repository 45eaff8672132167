#include "quantnoise/codec/centroids.h"

#include <bit>
#include <cmath>

#include "core/codec/affine_parts.h"
#include "quantnoise/codec/half.h"

namespace quantnoise::codec {

namespace {

constexpr int32_t kMiddle = 128;
constexpr float kLargestMultiple = 127;

// The next number of 16 significant bits, or the number itself.
float round_up_to_16_bits(float positive) {
  constexpr uint32_t kDropped = (1u << 8) - 1;
  const auto bits = std::bit_cast<uint32_t>(positive);
  return std::bit_cast<float>((bits + kDropped) & ~kDropped);
}

void round_to_half(std::span<const float> centroids, std::span<float> out) {
  for (size_t i = 0; i < centroids.size(); ++i) {
    QN_REQUIRE(std::abs(centroids[i]) <= 65504.0f, ErrorKind::kNumeric, "centroids: found ", centroids[i],
               ", expected a magnitude of at most 65504 (fp16)");
    out[i] = half_to_float(float_to_half(centroids[i]));
  }
}

}  // namespace

AffineGrid centroid_grid(std::span<const float> centroids) {
  float largest = 0;
  for (const float value : centroids) {
    QN_REQUIRE(std::abs(value) <= 0x1p126f, ErrorKind::kNumeric, "centroids: found ", value,
               ", expected finite numbers of a magnitude of at most 2^126");
    largest = std::max(largest, std::abs(value));
  }
  const float scale =
      largest == 0 ? 1.0f : round_up_to_16_bits(std::max(largest / kLargestMultiple, kSmallestScale));
  return {8, -1, {scale}, {kMiddle}};
}

void round_centroids(std::span<const float> centroids, ScalarType type, std::span<float> out) {
  QN_INVARIANT(centroids.size() == out.size());
  if (type == ScalarType::kF16) return round_to_half(centroids, out);
  QN_INVARIANT(type == ScalarType::kI8);
  const auto count = static_cast<int64_t>(centroids.size());
  fake_quantize(centroids, {{count}}, centroid_grid(centroids), out, base::SerialFor());
}

}  // namespace quantnoise::codec
