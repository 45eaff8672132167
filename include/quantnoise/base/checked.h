#pragma once
// Arithmetic on sizes that come from files: an overflow is an error that names the quantity, it never wraps.

#include <cstdint>
#include <string_view>

#include "quantnoise/base/error.h"

namespace quantnoise::base {

/// a × b; throws ErrorKind::kFormat naming `what` when the product does not fit.
inline uint64_t checked_mul(uint64_t a, uint64_t b, std::string_view what) {
  uint64_t product = 0;
  QN_REQUIRE(!__builtin_mul_overflow(a, b, &product), ErrorKind::kFormat, what, ": ", a, " x ", b,
             " does not fit in 64 bits");
  return product;
}

/// a + b; throws ErrorKind::kFormat naming `what` when the sum does not fit.
inline uint64_t checked_add(uint64_t a, uint64_t b, std::string_view what) {
  uint64_t sum = 0;
  QN_REQUIRE(!__builtin_add_overflow(a, b, &sum), ErrorKind::kFormat, what, ": ", a, " + ", b,
             " does not fit in 64 bits");
  return sum;
}

/// The number of chunks of `divisor` needed to hold `value`; divisor > 0.
constexpr int64_t ceil_div(int64_t value, int64_t divisor) { return (value + divisor - 1) / divisor; }

/// The smallest multiple of `multiple` that is at least `value`.
constexpr int64_t round_up(int64_t value, int64_t multiple) { return ceil_div(value, multiple) * multiple; }

}  // namespace quantnoise::base
