#pragma once
// 256 entries by shuffles that know 16: rows of 16 entries are stored as differences to the row above (see
// make_differences()), and the sum of the rows up to the code's own is the entry. A row counts when code − 16
// · row is not negative: the shuffle gives 0 for negative bytes. Codes below 128 and the others have rows of
// their own.

#include "core/kernels/lookup_add.h"

namespace quantnoise::kernels {
namespace {

template <int kPlanes>
struct ShuffleTable {
  explicit ShuffleTable(const uint8_t* bytes) : rows(bytes) {}

  void add(Ints codes, EntrySums<kPlanes>& sums) const {
    Ints index = bits_and(codes, set_i8(0x7f));
    Ints lower[kPlanes], upper[kPlanes];
    for (int p = 0; p < kPlanes; ++p) {
      lower[p] = look_up_16(load_lane(rows + 256 * p), index);
      upper[p] = look_up_16(load_lane(rows + 256 * p + 128), index);
    }
    for (int row = 1; row < 8; ++row) {
      index = sub_i8(index, set_i8(16));
      for (int p = 0; p < kPlanes; ++p) {
        const uint8_t* at = rows + 256 * p + 16 * row;
        lower[p] = add_i8(lower[p], look_up_16(load_lane(at), index));
        upper[p] = add_i8(upper[p], look_up_16(load_lane(at + 128), index));
      }
    }
    for (int p = 0; p < kPlanes; ++p) sums.planes[p].add(choose_by_sign(codes, upper[p], lower[p]));
  }

  const uint8_t* rows;
};

}  // namespace
}  // namespace quantnoise::kernels
