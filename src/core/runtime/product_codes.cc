#include "core/runtime/product_codes.h"

#include <algorithm>
#include <cstring>

#include "quantnoise/base/checked.h"
#include "quantnoise/base/error.h"
#include "quantnoise/codec/bit_pack.h"

namespace quantnoise::runtime {

namespace {

using kernels::kStepRows;

int kernel_bits(int code_bits) { return code_bits <= 4 ? 4 : code_bits <= 8 ? 8 : 16; }

// Codes from number `first` (a multiple of 8) on.
std::vector<uint16_t> unpack_range(const codec::PackedWeight& weight, int64_t first, int64_t count) {
  std::vector<uint16_t> codes(static_cast<size_t>(count));
  const auto begin = static_cast<size_t>(first / 8 * weight.code_bits);
  codec::unpack_bits(weight.codes.bytes.subspan(begin), weight.code_bits, codes);
  return codes;
}

void check_codes(const std::vector<uint16_t>& codes, int num_centroids) {
  const uint16_t largest = codes.empty() ? uint16_t{0} : *std::max_element(codes.begin(), codes.end());
  QN_REQUIRE(largest < num_centroids, ErrorKind::kFormat, "codes: found ", largest, ", expected less than ",
             num_centroids, " centroids");
}

void check_shape(const codec::PackedWeight& weight) {
  QN_INVARIANT(weight.scheme == codec::Scheme::kProduct);
  QN_REQUIRE(weight.block_size >= 1 && weight.cols() > 0 && weight.cols() % weight.block_size == 0,
             ErrorKind::kFormat, "block size of product codes: found ", weight.block_size,
             ", expected a divisor of ", weight.cols(), " columns");
  QN_REQUIRE(weight.code_bits == codec::code_bits_for(weight.num_centroids), ErrorKind::kFormat,
             "bits of a code: found ", weight.code_bits, ", expected ",
             codec::code_bits_for(weight.num_centroids), " for ", weight.num_centroids, " centroids");
  QN_REQUIRE(weight.order.tile_rows > 0 && weight.order.tile_rows % kStepRows == 0, ErrorKind::kFormat,
             "rows of a code tile: found ", weight.order.tile_rows, ", expected a multiple of ", kStepRows);
  const int64_t needed = codec::packed_bytes(weight.numel() / weight.block_size, weight.code_bits);
  QN_REQUIRE(static_cast<int64_t>(weight.codes.bytes.size()) == needed, ErrorKind::kFormat, "codes: found ",
             weight.codes.bytes.size(), " bytes, expected ", needed);
  QN_REQUIRE(weight.zero_row < weight.rows(), ErrorKind::kFormat, "zero row: found ", weight.zero_row,
             ", expected less than ", weight.rows(), " rows");
}

}  // namespace

ProductCodes::ProductCodes(const codec::PackedWeight& weight) {
  check_shape(weight);
  bits_ = kernel_bits(weight.code_bits);
  rows_ = weight.rows();
  num_blocks_ = weight.cols() / weight.block_size;
  num_steps_ = base::ceil_div(rows_, kStepRows);
  steps_in_tile_ = weight.order.tile_rows / kStepRows;
  own_stride_ = kStepRows * bits_ / 8;
  mapped_stride_ = own_stride_ * steps_in_tile_;
  mapped_ = reinterpret_cast<const uint8_t*>(weight.codes.bytes.data());
  const bool stays = weight.code_bits == 4 || weight.code_bits == 8;
  num_mapped_ = stays ? rows_ / weight.order.tile_rows * steps_in_tile_ : 0;
  copy_steps(weight);
}

const uint8_t* ProductCodes::step(int64_t index) const {
  if (index >= num_mapped_) return own_.data() + (index - num_mapped_) * step_bytes();
  const int64_t in_tile = index % steps_in_tile_;
  return mapped_ + (index - in_tile) * step_bytes() + in_tile * own_stride_;
}

// Every tile is unpacked where its codes have to be checked or copied.
void ProductCodes::copy_steps(const codec::PackedWeight& weight) {
  const int64_t tile_rows = weight.order.tile_rows;
  const bool can_be_wrong = weight.num_centroids < 1 << weight.code_bits;
  uint8_t* to = own_.resize((num_steps_ - num_mapped_) * step_bytes());
  if (num_mapped_ < num_steps_) {
    std::memset(to, 0, static_cast<size_t>((num_steps_ - num_mapped_) * step_bytes()));
  }
  for (int64_t row = can_be_wrong ? 0 : num_mapped_ * kStepRows; row < rows_; row += tile_rows) {
    const int64_t rows_in_tile = std::min(tile_rows, rows_ - row);
    const auto codes = unpack_range(weight, row * num_blocks_, rows_in_tile * num_blocks_);
    check_codes(codes, weight.num_centroids);
    if (row < num_mapped_ * kStepRows) continue;
    for (int64_t in_tile = 0; in_tile < rows_in_tile; in_tile += kStepRows, to += step_bytes())
      copy_step(codes, in_tile, rows_in_tile, to);
  }
}

void ProductCodes::copy_step(const std::vector<uint16_t>& codes, int64_t row_in_tile, int64_t rows_in_tile,
                             uint8_t* to) {
  const int64_t num_rows = std::min<int64_t>(kStepRows, rows_in_tile - row_in_tile);
  for (int64_t b = 0; b < num_blocks_; ++b) {
    const uint16_t* from = codes.data() + b * rows_in_tile + row_in_tile;
    uint8_t* block = to + b * own_stride_;
    for (int64_t r = 0; r < num_rows; ++r) {
      if (bits_ == 16) {
        std::memcpy(block + 2 * r, from + r, 2);
      } else if (bits_ == 8) {
        block[r] = static_cast<uint8_t>(from[r]);
      } else {
        block[r / 2] = static_cast<uint8_t>(block[r / 2] | from[r] << (r % 2 * 4));
      }
    }
  }
}

}  // namespace quantnoise::runtime
