#pragma once
// The dropout loops, compiled once for each instruction set.

#include "core/kernels/lanes.h"
#include "quantnoise/kernels/dropout.h"

namespace quantnoise::kernels {
namespace {

// One chain: the draws of kLanes counters. Two chains side by side hide the latency of the ten rounds.
constexpr int64_t kChainDraws = 4 * kLanes;
constexpr int kChains = 2;
constexpr int64_t kDrawsAtOnce = kChains * kChainDraws;

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

struct Counter {
  Words word[4];
};

inline Counter first_counter(const DropoutDraws& draws, uint64_t draw_group) {
  uint32_t low[kLanes];
  uint32_t high[kLanes];
  for (int i = 0; i < kLanes; ++i) {
    low[i] = static_cast<uint32_t>(draw_group + i);
    high[i] = static_cast<uint32_t>((draw_group + i) >> 32);
  }
  return {{load_as<Words>(low), load_as<Words>(high), Words{} + draws.update, Words{} + draws.micro_batch}};
}

inline void philox_round(Counter& counter, uint32_t key0, uint32_t key1) {
  const Products first = multiply_words(counter.word[0], 0xD2511F53u);
  const Products second = multiply_words(counter.word[2], 0xCD9E8D57u);
  counter.word[0] = second.high ^ counter.word[1] ^ key0;
  counter.word[1] = second.low;
  counter.word[2] = first.high ^ counter.word[3] ^ key1;
  counter.word[3] = first.low;
}

/// Multipliers of kChainDraws consecutive draws for each chain; draw_groups: index of a chain's first draw
/// / 4.
inline void next_multipliers(const DropoutDraws& draws, const uint64_t draw_groups[kChains], Floats* out) {
  Counter counters[kChains];
  for (int chain = 0; chain < kChains; ++chain) counters[chain] = first_counter(draws, draw_groups[chain]);
  uint32_t key0 = draws.key[0];
  uint32_t key1 = draws.key[1];
  for (int round = 0; round < 10; ++round) {
    for (int chain = 0; chain < kChains; ++chain) philox_round(counters[chain], key0, key1);
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  const Floats survivor = broadcast(draws.scale);
  for (int chain = 0; chain < kChains; ++chain) {
    // Draw 4g + l is word l of counter g.
    const Words* word = counters[chain].word;
    const Words even_low = zip_low(word[0], word[2]), even_high = zip_high(word[0], word[2]);
    const Words odd_low = zip_low(word[1], word[3]), odd_high = zip_high(word[1], word[3]);
    const Words ordered[4] = {zip_low(even_low, odd_low), zip_high(even_low, odd_low),
                              zip_low(even_high, odd_high), zip_high(even_high, odd_high)};
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
