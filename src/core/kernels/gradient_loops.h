#pragma once
// The passes over gradients, compiled once for each instruction set.

#include "core/kernels/lanes.h"
#include "quantnoise/kernels/gradient.h"

namespace quantnoise::kernels {
namespace {

/// Written past the caches where the set can; `to` lies on a multiple of the vector's size.
inline void store_past_caches(float* to, Floats value) {
#if defined(__AVX512F__)
  _mm512_stream_ps(to, value);
#elif defined(__AVX2__)
  _mm256_stream_ps(to, value);
#else
  store(to, value);
#endif
}

inline void order_stores_past_caches() {
#if defined(__AVX2__)
  _mm_sfence();
#endif
}

inline void widen(const uint16_t* x, int64_t count, float* out) {
  int64_t i = 0;
  while (i < count && reinterpret_cast<uintptr_t>(out + i) % sizeof(Floats) != 0) {
    out[i] = load_one(x + i);
    ++i;
  }
  for (; i + kLanes <= count; i += kLanes) store_past_caches(out + i, load(x + i));
  for (; i < count; ++i) out[i] = load_one(x + i);
  order_stores_past_caches();
}

inline double square_sum(const float* x, int64_t count) {
  constexpr int kChains = 4;
  Floats sums[kChains] = {};
  int64_t i = 0;
  for (; i + kChains * kLanes <= count; i += kChains * kLanes) {
    for (int chain = 0; chain < kChains; ++chain) {
      const Floats value = load(x + i + chain * kLanes);
      sums[chain] += value * value;
    }
  }
  double total = 0;
  for (; i < count; ++i) total += double{x[i]} * double{x[i]};
  for (const Floats& chain : sums) {
    for (int lane = 0; lane < kLanes; ++lane) total += double{chain[lane]};
  }
  return total;
}

/// sums += the rows that visit gives: Floats for kLanes elements from an index on, or one float. Row after
/// row, as memory has them: several at a time would meet in the same sets of the cache.
template <typename Visit>
inline void add_rows(const Visit& visit, int64_t rows, int64_t cols, float* sums) {
  for (int64_t r = 0; r < rows; ++r) {
    int64_t c = 0;
    for (; c + kLanes <= cols; c += kLanes) store(sums + c, load(sums + c) + visit.lanes(r * cols + c));
    for (; c < cols; ++c) sums[c] += visit.one(r * cols + c);
  }
}

template <typename Value>
struct Read {
  const Value* x;
  Floats lanes(int64_t at) const { return load(x + at); }
  float one(int64_t at) const { return load_one(x + at); }
};

template <typename Value>
struct ReluBackward {
  const Value* gradient;
  const Value* result;
  Value* out;

  Floats lanes(int64_t at) const {
    const Floats value = load(result + at) <= 0 ? Floats{} : load(gradient + at);
    store(out + at, value);
    return value;
  }
  float one(int64_t at) const {
    const float value = load_one(result + at) <= 0 ? 0.0f : load_one(gradient + at);
    store_one(out + at, value);
    return value;
  }
};

inline void add_rows_f32(const float* x, int64_t rows, int64_t cols, float* sums) {
  add_rows(Read<float>{x}, rows, cols, sums);
}
inline void add_rows_bf16(const uint16_t* x, int64_t rows, int64_t cols, float* sums) {
  add_rows(Read<uint16_t>{x}, rows, cols, sums);
}
inline void relu_backward_f32(const float* gradient, const float* result, int64_t rows, int64_t cols,
                              float* out, float* sums) {
  add_rows(ReluBackward<float>{gradient, result, out}, rows, cols, sums);
}
inline void relu_backward_bf16(const uint16_t* gradient, const uint16_t* result, int64_t rows, int64_t cols,
                               uint16_t* out, float* sums) {
  add_rows(ReluBackward<uint16_t>{gradient, result, out}, rows, cols, sums);
}

inline constexpr GradientKernels gradient_set(const char* name) {
  return {name, widen, square_sum, add_rows_f32, add_rows_bf16, relu_backward_f32, relu_backward_bf16};
}

}  // namespace
}  // namespace quantnoise::kernels
