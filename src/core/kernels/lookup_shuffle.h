#pragma once
// 256 entries by shuffles that know 16: rows of 16 entries are stored as differences to the row above (see
// make_differences()), and the sum of the rows up to the code's own is the entry. A row counts when code − 16
// · row is not negative: the shuffle gives 0 for negative bytes. Codes below 128 and the others have rows of
// their own.

#include "core/kernels/lookup_add.h"

namespace quantnoise::kernels {
namespace {

struct ShuffleTable {
  static constexpr bool kWaitsForMemory = false;  // codes come faster than they are looked up

  explicit ShuffleTable(const uint8_t* bytes) : rows(bytes) {}

  /// Row by row: every row is loaded once for all vectors.
  template <int kVectors>
  void look_up(Ints (&values)[kVectors]) const {
    Ints index[kVectors], lower[kVectors], upper[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      index[v] = bits_and(values[v], set_i8(0x7f));
      lower[v] = look_up_16(load_lane(rows), index[v]);
      upper[v] = look_up_16(load_lane(rows + 128), index[v]);
    }
#pragma GCC unroll 8
    for (int row = 1; row < 8; ++row) {
      const Ints of_lower = load_lane(rows + 16 * row), of_upper = load_lane(rows + 128 + 16 * row);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        index[v] = sub_i8(index[v], set_i8(16));
        lower[v] = add_i8(lower[v], look_up_16(of_lower, index[v]));
        upper[v] = add_i8(upper[v], look_up_16(of_upper, index[v]));
        // Now: the compiler would do all look-ups first, as if there were registers for them.
        asm("" : "+v"(lower[v]), "+v"(upper[v]), "+v"(index[v]));
      }
    }
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) values[v] = choose_by_sign(values[v], upper[v], lower[v]);
  }

  const uint8_t* rows;
};

}  // namespace
}  // namespace quantnoise::kernels
