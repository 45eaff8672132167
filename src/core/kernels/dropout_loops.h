#pragma once
// The dropout loops, compiled once for each instruction set.

#include "core/kernels/philox_lanes.h"
#include "quantnoise/kernels/dropout.h"

namespace quantnoise::kernels {
namespace {

constexpr int kChains = 2;
constexpr int64_t kDrawsAtOnce = kChains * kChainDraws;

/// Multipliers of kChainDraws consecutive draws for each chain; draw_groups: index of a chain's first draw
/// / 4.
inline void next_multipliers(const DropoutDraws& draws, const uint64_t draw_groups[kChains], Floats* out) {
  Counter counters[kChains];
  run_philox<kChains>(draws, draw_groups, counters);
  const Floats survivor = broadcast(draws.scale);
  for (int chain = 0; chain < kChains; ++chain) {
    Words ordered[4];
    draws_in_order(counters[chain], ordered);
    for (int i = 0; i < 4; ++i) out[4 * chain + i] = ordered[i] < draws.threshold ? Floats{} : survivor;
  }
}

inline void consecutive_multipliers(const DropoutDraws& draws, uint64_t draw_group, Floats* out) {
  const uint64_t groups[kChains] = {draw_group, draw_group + kLanes};
  next_multipliers(draws, groups, out);
}

/// Multipliers of `count` draws from any index, through whole groups.
inline void multipliers(const DropoutDraws& draws, uint64_t first, int64_t count, float* out) {
  float buffer[kDrawsAtOnce];
  Floats values[4 * kChains];
  for (int64_t done = 0; done < count;) {
    const uint64_t group = (first + done) / 4;
    const int64_t skip = static_cast<int64_t>((first + done) % 4);
    const int64_t take = kDrawsAtOnce - skip < count - done ? kDrawsAtOnce - skip : count - done;
    consecutive_multipliers(draws, group, values);
    if (take == kDrawsAtOnce) {
      for (int i = 0; i < 4 * kChains; ++i) store(out + done + i * kLanes, values[i]);
    } else {
      for (int i = 0; i < 4 * kChains; ++i) store(buffer + i * kLanes, values[i]);
      for (int64_t i = 0; i < take; ++i) out[done + i] = buffer[skip + i];
    }
    done += take;
  }
}

/// Rows of 64; two short chains may lie in two rows.
inline void multiplier_rows(const DropoutDraws& draws, uint64_t first, uint64_t row_stride, int64_t num_rows,
                            float* out) {
  constexpr int64_t kRowsAtOnce = kDrawsAtOnce > 64 ? 2 : 1;
  const bool aligned = first % 4 == 0 && row_stride % 4 == 0;
  int64_t r = 0;
  for (; kRowsAtOnce == 2 && aligned && r + 2 <= num_rows; r += 2) {
    const uint64_t groups[kChains] = {(first + r * row_stride) / 4, (first + (r + 1) * row_stride) / 4};
    Floats values[4 * kChains];
    next_multipliers(draws, groups, values);
    for (int i = 0; i < 4 * kChains; ++i) store(out + r * 64 + i * kLanes, values[i]);
  }
  for (; r < num_rows; ++r) multipliers(draws, first + r * row_stride, 64, out + r * 64);
}

/// What happens to an element before its draw decides about it.
enum class Before { kNothing, kRelu };

template <Before kBefore>
inline Floats prepared(Floats x) {
  if constexpr (kBefore == Before::kRelu) return x < 0 ? Floats{} : x;
  return x;
}

template <Before kBefore, typename In, typename Out>
inline void apply_few(const DropoutDraws& draws, uint64_t first, int64_t count, const In* x,
                      const float* residual, Out* out) {
  float factors[kDrawsAtOnce];
  multipliers(draws, first, count, factors);
  for (int64_t i = 0; i < count; ++i) {
    const float before = load_one(x + i);
    const float input = kBefore == Before::kRelu && before < 0 ? 0.0f : before;
    const float value = factors[i] != 0 ? input * factors[i] : 0.0f;
    store_one(out + i, residual ? residual[i] + value : value);
  }
}

template <Before kBefore, typename In, typename Out>
inline void apply(const DropoutDraws& draws, uint64_t first, int64_t count, const In* x,
                  const float* residual, Out* out) {
  int64_t done = first % 4 == 0 ? 0 : static_cast<int64_t>(4 - first % 4);
  if (done > count) done = count;
  if (done > 0) apply_few<kBefore>(draws, first, done, x, residual, out);
  Floats factors[4 * kChains];
  for (; done + kDrawsAtOnce <= count; done += kDrawsAtOnce) {
    consecutive_multipliers(draws, (first + done) / 4, factors);
    for (int i = 0; i < 4 * kChains; ++i) {
      const int64_t at = done + i * kLanes;
      Floats value = factors[i] != 0 ? prepared<kBefore>(load(x + at)) * factors[i] : Floats{};
      if (residual) value += load(residual + at);
      store(out + at, value);
    }
  }
  if (done < count) {
    apply_few<kBefore>(draws, first + done, count - done, x + done, residual ? residual + done : nullptr,
                       out + done);
  }
}

template <typename Value>
inline void relu_backward(const Value* gradient, const Value* result, int64_t count, float scale,
                          Value* out) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    store(out + i, load(result + i) > 0 ? load(gradient + i) * scale : Floats{});
  }
  for (; i < count; ++i) store_one(out + i, load_one(result + i) > 0 ? load_one(gradient + i) * scale : 0.0f);
}

inline void dropout_f32(const DropoutDraws& draws, uint64_t first, int64_t count, const float* x,
                        const float* residual, float* out) {
  apply<Before::kNothing>(draws, first, count, x, residual, out);
}
inline void dropout_bf16(const DropoutDraws& draws, uint64_t first, int64_t count, const uint16_t* x,
                         uint16_t* out) {
  apply<Before::kNothing>(draws, first, count, x, nullptr, out);
}
inline void dropout_bf16_to_f32(const DropoutDraws& draws, uint64_t first, int64_t count, const uint16_t* x,
                                const float* residual, float* out) {
  apply<Before::kNothing>(draws, first, count, x, residual, out);
}
inline void dropout_f32_to_bf16(const DropoutDraws& draws, uint64_t first, int64_t count, const float* x,
                                uint16_t* out) {
  apply<Before::kNothing>(draws, first, count, x, nullptr, out);
}

inline void relu_f32(const DropoutDraws& draws, uint64_t first, int64_t count, const float* x, float* out) {
  apply<Before::kRelu>(draws, first, count, x, nullptr, out);
}
inline void relu_bf16(const DropoutDraws& draws, uint64_t first, int64_t count, const uint16_t* x,
                      uint16_t* out) {
  apply<Before::kRelu>(draws, first, count, x, nullptr, out);
}
inline void relu_backward_f32(const float* gradient, const float* result, int64_t count, float scale,
                              float* out) {
  relu_backward(gradient, result, count, scale, out);
}
inline void relu_backward_bf16(const uint16_t* gradient, const uint16_t* result, int64_t count, float scale,
                               uint16_t* out) {
  relu_backward(gradient, result, count, scale, out);
}

inline constexpr DropoutKernels dropout_set(const char* name) {
  return {name,         multipliers,         multiplier_rows,     dropout_f32,
          dropout_bf16, dropout_bf16_to_f32, dropout_f32_to_bf16, relu_f32,
          relu_bf16,    relu_backward_f32,   relu_backward_bf16};
}

}  // namespace
}  // namespace quantnoise::kernels
