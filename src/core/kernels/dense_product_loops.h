#pragma once
// Rows of a dense weight times one vector, compiled once for each instruction set.

#include "core/kernels/lanes.h"
#include "quantnoise/kernels/dense_product.h"

namespace quantnoise::kernels {
namespace {

struct F32 {
  using Element = float;
  static Floats load(const float* from) { return load_as<Floats>(from); }
  static float one(const float* from) { return *from; }
};

struct Bf16 {
  using Element = uint16_t;
  static Floats load(const uint16_t* from) { return kernels::load(from); }
  static float one(const uint16_t* from) { return load_one(from); }
};

/// The exponent is moved up by 112 through a product, which normalizes small numbers too; the largest
/// exponent stands for infinity and NaN.
struct F16 {
  using Element = uint16_t;
  static Floats load(const uint16_t* from) {
#if defined(__AVX512F__)
    return (Floats)_mm512_cvtph_ps(load_as<__m256i>(from));
#elif defined(__AVX2__)
    return (Floats)_mm256_cvtph_ps(load_as<__m128i>(from));
#else
    const Words bits = __builtin_convertvector(load_as<Halves>(from), Words);
    const Words magnitude = bits & 0x7fffu;
    const Words scaled = (Words)((Floats)(magnitude << 13) * 0x1p112f);
    const Words special = (magnitude << 13) + (112u << 23) + (112u << 23);
    return (Floats)((magnitude >= 0x7c00u ? special : scaled) | (bits & 0x8000u) << 16);
#endif
  }
  static float one(const uint16_t* from) {
    uint16_t padded[kLanes] = {*from};
    return load(padded)[0];
  }
};

/// Elements are asked for this many bytes ahead of their use.
constexpr int64_t kDenseBytesAhead = 8192;
constexpr int kSums = 8;

template <typename Type>
float dot(const typename Type::Element* row, const float* x, int64_t cols) {
  Floats sums[kSums] = {};
  int64_t i = 0;
  for (; i + kSums * kLanes <= cols; i += kSums * kLanes) {
#pragma GCC unroll 8
    for (int s = 0; s < kSums; ++s) {
      const auto* at = row + i + s * kLanes;
      if (s * kLanes * sizeof(*at) % 64 == 0)
        __builtin_prefetch(reinterpret_cast<const char*>(at) + kDenseBytesAhead);
      sums[s] += Type::load(at) * load(x + i + s * kLanes);
    }
  }
  for (; i + kLanes <= cols; i += kLanes) sums[0] += Type::load(row + i) * load(x + i);
  for (int s = 1; s < kSums; ++s) sums[0] += sums[s];
  float sum = sum_lanes(sums[0]);
  for (; i < cols; ++i) sum += Type::one(row + i) * x[i];
  return sum;
}

template <typename Type>
void multiply_rows(const DenseRows<typename Type::Element>& rows, const float* x, float* out) noexcept {
  for (int64_t r = 0; r < rows.num_rows; ++r) out[r] = dot<Type>(rows.values + r * rows.cols, x, rows.cols);
}

template <typename Type>
void widen(const uint16_t* from, int64_t count, float* out) noexcept {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(out + i, Type::load(from + i));
  for (; i < count; ++i) out[i] = Type::one(from + i);
}

inline constexpr DenseProductKernels dense_product_set(const char* name) {
  return {name, multiply_rows<F32>, multiply_rows<F16>, multiply_rows<Bf16>, widen<F16>, widen<Bf16>};
}

}  // namespace
}  // namespace quantnoise::kernels
