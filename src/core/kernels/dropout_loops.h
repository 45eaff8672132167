#pragma once
// The dropout loops, compiled once for each instruction set.

#include "core/kernels/lanes.h"
#include "quantnoise/kernels/dropout.h"

namespace quantnoise::kernels {
namespace {

constexpr int64_t kDrawsAtOnce = 4 * kLanes;

struct Products {
  Words high;
  Words low;
};

/// 32 × 32 → 64 bit products of all elements, split into high and low words.
inline Products multiply_words(Words a, uint32_t factor) {
  const Longs factors = Longs{} + factor;
  const Longs even = multiply_even(a, factors);
  const Longs odd = multiply_even((Words)((Longs)a >> 32), factors);
  const Longs low_word = Longs{} + 0xffffffffu;
  return {(Words)((even >> 32) | (odd & ~low_word)), (Words)((even & low_word) | (odd << 32))};
}

/// Multipliers of kDrawsAtOnce consecutive draws; draw_group: index of the first draw / 4.
inline void next_multipliers(const DropoutDraws& draws, uint64_t draw_group, Floats out[4]) {
  uint32_t low[kLanes];
  uint32_t high[kLanes];
  for (int i = 0; i < kLanes; ++i) {
    low[i] = static_cast<uint32_t>(draw_group + i);
    high[i] = static_cast<uint32_t>((draw_group + i) >> 32);
  }
  Words c0 = load_as<Words>(low);
  Words c1 = load_as<Words>(high);
  Words c2 = Words{} + draws.update;
  Words c3 = Words{} + draws.micro_batch;
  uint32_t key0 = draws.key[0];
  uint32_t key1 = draws.key[1];
  for (int round = 0; round < 10; ++round) {
    const Products first = multiply_words(c0, 0xD2511F53u);
    const Products second = multiply_words(c2, 0xCD9E8D57u);
    c0 = second.high ^ c1 ^ key0;
    c1 = second.low;
    c2 = first.high ^ c3 ^ key1;
    c3 = first.low;
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  // Draw 4g + l is lane l of group g.
  const Words even_low = zip_low(c0, c2), even_high = zip_high(c0, c2);
  const Words odd_low = zip_low(c1, c3), odd_high = zip_high(c1, c3);
  const Words ordered[4] = {zip_low(even_low, odd_low), zip_high(even_low, odd_low), zip_low(even_high, odd_high),
                            zip_high(even_high, odd_high)};
  const Floats survivor = broadcast(draws.scale);
  for (int i = 0; i < 4; ++i) out[i] = ordered[i] < draws.threshold ? Floats{} : survivor;
}

/// Multipliers of `count` draws from any index, through whole groups.
inline void multipliers(const DropoutDraws& draws, uint64_t first, int64_t count, float* out) {
  float buffer[kDrawsAtOnce];
  Floats values[4];
  for (int64_t done = 0; done < count;) {
    const uint64_t group = (first + done) / 4;
    const int64_t skip = static_cast<int64_t>((first + done) % 4);
    const int64_t take = kDrawsAtOnce - skip < count - done ? kDrawsAtOnce - skip : count - done;
    next_multipliers(draws, group, values);
    if (take == kDrawsAtOnce) {
      for (int i = 0; i < 4; ++i) store(out + done + i * kLanes, values[i]);
    } else {
      for (int i = 0; i < 4; ++i) store(buffer + i * kLanes, values[i]);
      for (int64_t i = 0; i < take; ++i) out[done + i] = buffer[skip + i];
    }
    done += take;
  }
}

template <typename In, typename Out>
inline void apply_few(const DropoutDraws& draws, uint64_t first, int64_t count, const In* x, const float* residual,
                      Out* out) {
  float factors[kDrawsAtOnce];
  multipliers(draws, first, count, factors);
  for (int64_t i = 0; i < count; ++i) {
    const float value = factors[i] != 0 ? load_one(x + i) * factors[i] : 0.0f;
    store_one(out + i, residual ? residual[i] + value : value);
  }
}

template <typename In, typename Out>
inline void apply(const DropoutDraws& draws, uint64_t first, int64_t count, const In* x, const float* residual,
                  Out* out) {
  int64_t done = first % 4 == 0 ? 0 : static_cast<int64_t>(4 - first % 4);
  if (done > count) done = count;
  if (done > 0) apply_few(draws, first, done, x, residual, out);
  Floats factors[4];
  for (; done + kDrawsAtOnce <= count; done += kDrawsAtOnce) {
    next_multipliers(draws, (first + done) / 4, factors);
    for (int i = 0; i < 4; ++i) {
      const int64_t at = done + i * kLanes;
      Floats value = factors[i] != 0 ? load(x + at) * factors[i] : Floats{};
      if (residual) value += load(residual + at);
      store(out + at, value);
    }
  }
  if (done < count) {
    apply_few(draws, first + done, count - done, x + done, residual ? residual + done : nullptr, out + done);
  }
}

inline void dropout_f32(const DropoutDraws& draws, uint64_t first, int64_t count, const float* x,
                        const float* residual, float* out) {
  apply(draws, first, count, x, residual, out);
}
inline void dropout_bf16(const DropoutDraws& draws, uint64_t first, int64_t count, const uint16_t* x, uint16_t* out) {
  apply(draws, first, count, x, nullptr, out);
}
inline void dropout_bf16_to_f32(const DropoutDraws& draws, uint64_t first, int64_t count, const uint16_t* x,
                                const float* residual, float* out) {
  apply(draws, first, count, x, residual, out);
}
inline void dropout_f32_to_bf16(const DropoutDraws& draws, uint64_t first, int64_t count, const float* x,
                                uint16_t* out) {
  apply(draws, first, count, x, nullptr, out);
}

inline constexpr DropoutKernels dropout_set(const char* name) {
  return {name, multipliers, dropout_f32, dropout_bf16, dropout_bf16_to_f32, dropout_f32_to_bf16};
}

}  // namespace
}  // namespace quantnoise::kernels
