#pragma once
// 256 entries by shuffles that know 16: rows of 16 entries are stored as differences to the row above (see
// make_differences()), and the sum of the rows up to the code's own is the entry. A row counts when code − 16
// · row is not negative: the shuffle gives 0 for negative bytes. Codes below 128 and the others have rows of
// their own.

#include "core/kernels/lookup_add.h"

namespace quantnoise::kernels {
namespace {

struct ShuffleTable {
  explicit ShuffleTable(const uint8_t* bytes) : rows(bytes) {}

  Ints look_up(Ints codes) const {
    Ints index = bits_and(codes, set_i8(0x7f));
    Ints lower = look_up_16(load_lane(rows), index), upper = look_up_16(load_lane(rows + 128), index);
#pragma GCC unroll 8
    for (int row = 1; row < 8; ++row) {
      index = sub_i8(index, set_i8(16));
      lower = add_i8(lower, look_up_16(load_lane(rows + 16 * row), index));
      upper = add_i8(upper, look_up_16(load_lane(rows + 128 + 16 * row), index));
    }
    return choose_by_sign(codes, upper, lower);
  }

  const uint8_t* rows;
};

}  // namespace
}  // namespace quantnoise::kernels
