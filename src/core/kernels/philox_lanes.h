#pragma once
// Philox4x32-10 (base/random.h), one counter a lane.

#include "core/kernels/lanes.h"

namespace quantnoise::kernels {
namespace {

// One chain: the draws of kLanes counters. Two chains side by side hide the latency of the ten rounds.
constexpr int64_t kChainDraws = 4 * kLanes;

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

/// The counters of kLanes consecutive draw groups. Draws: what holds a stream's update and micro_batch.
template <typename Draws>
inline Counter first_counter(const Draws& draws, uint64_t draw_group) {
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

/// The ten rounds of kChains chains; draw_groups: index of a chain's first draw / 4.
template <int kChains, typename Draws>
inline void run_philox(const Draws& draws, const uint64_t draw_groups[kChains], Counter counters[kChains]) {
  for (int chain = 0; chain < kChains; ++chain) counters[chain] = first_counter(draws, draw_groups[chain]);
  uint32_t key0 = draws.key[0];
  uint32_t key1 = draws.key[1];
  for (int round = 0; round < 10; ++round) {
    for (int chain = 0; chain < kChains; ++chain) philox_round(counters[chain], key0, key1);
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
}

/// The draws of a chain in their order: draw 4g + l is word l of counter g.
inline void draws_in_order(const Counter& counter, Words ordered[4]) {
  const Words* word = counter.word;
  const Words even_low = zip_low(word[0], word[2]), even_high = zip_high(word[0], word[2]);
  const Words odd_low = zip_low(word[1], word[3]), odd_high = zip_high(word[1], word[3]);
  ordered[0] = zip_low(even_low, odd_low);
  ordered[1] = zip_high(even_low, odd_low);
  ordered[2] = zip_low(even_high, odd_high);
  ordered[3] = zip_high(even_high, odd_high);
}

}  // namespace
}  // namespace quantnoise::kernels
