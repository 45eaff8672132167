#pragma once
// Counter-based random numbers: a draw is a pure function of its key and counter, so that masks are the same
// for any thread count, on every rank, after a resume, and for any subset of rows.

#include <array>
#include <cstdint>
#include <string_view>

namespace quantnoise::base {

/// Philox4x32-10 (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011).
constexpr std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = uint64_t{0xD2511F53u} * counter[0];
    const uint64_t product1 = uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(product0)};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return counter;
}

/// 64-bit FNV-1a: a slot's stream number is the hash of its canonical path.
constexpr uint64_t hash_name(std::string_view name) {
  uint64_t hash = 0xcbf29ce484222325ull;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  return hash;
}

/// splitmix64 finalizer: spreads all bits of the input over all bits of the output.
constexpr uint64_t mix64(uint64_t x) {
  x += 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

/// One random stream: draw `i` is 32-bit lane (i mod 4) of philox(counter = {lo(i/4), hi(i/4), update,
/// micro_batch}, key). Streams with different seed or name have different keys.
struct RandomStream {
  std::array<uint32_t, 2> key{};
  uint32_t update = 0;
  uint32_t micro_batch = 0;

  RandomStream() = default;
  /// name_hash: hash_name() of the slot's canonical path (with a suffix for other uses, e.g. ".dropout").
  RandomStream(uint64_t seed, uint64_t name_hash, uint64_t update, uint32_t micro_batch)
      : update(static_cast<uint32_t>(update)), micro_batch(micro_batch) {
    const uint64_t mixed = mix64(mix64(seed ^ (update >> 32 << 8)) ^ name_hash);
    key = {static_cast<uint32_t>(mixed), static_cast<uint32_t>(mixed >> 32)};
  }

  uint32_t bits(uint64_t index) const {
    const uint64_t group = index / 4;
    return philox4x32({static_cast<uint32_t>(group), static_cast<uint32_t>(group >> 32), update, micro_batch},
                      key)[index % 4];
  }
  /// Uniform in [0, 1) with 24 bits.
  float uniform(uint64_t index) const { return static_cast<float>(bits(index) >> 8) * 0x1p-24f; }
};

/// A draw u32 selects an event of probability p exactly when `bits < bernoulli_threshold(p)`, compared as
/// 64-bit numbers: p = 1 gives 2^32, which is always greater.
inline uint64_t bernoulli_threshold(double p) {
  if (p <= 0.0) return 0;
  if (p >= 1.0) return uint64_t{1} << 32;
  return static_cast<uint64_t>(p * 4294967296.0);
}

/// A sequential generator on top of philox for shuffles and initial choices; the same everywhere for a seed.
class SequentialRandom {
 public:
  explicit SequentialRandom(uint64_t seed, std::string_view name = "")
      : stream_(seed, hash_name(name), 0, 0) {}

  uint32_t next() { return stream_.bits(position_++); }
  /// Uniform integer in [0, bound), without modulo bias; bound > 0.
  uint64_t below(uint64_t bound) {
    const uint64_t limit = bound * (UINT64_MAX / bound);
    uint64_t value = 0;
    do {
      value = (static_cast<uint64_t>(next()) << 32) | next();
    } while (value >= limit);
    return value % bound;
  }
  /// Uniform in [0, 1) with 24 bits.
  float uniform() { return static_cast<float>(next() >> 8) * 0x1p-24f; }
  uint64_t position() const { return position_; }
  void seek(uint64_t position) { position_ = position; }

 private:
  RandomStream stream_;
  uint64_t position_ = 0;
};

}  // namespace quantnoise::base
