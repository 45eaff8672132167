// Affine codes to and from the form the file holds.

#include <algorithm>

#include "core/codec/affine_parts.h"
#include "core/codec/packed_codes.h"
#include "quantnoise/base/error.h"
#include "quantnoise/codec/affine.h"
#include "quantnoise/codec/bit_pack.h"

namespace quantnoise::codec {

PackedWeight pack_affine(std::span<const uint8_t> codes, std::vector<int64_t> shape, const AffineGrid& grid,
                         int64_t zero_row) {
  const AffineLayout layout = checked_affine_layout(shape, grid);
  QN_INVARIANT(static_cast<int64_t>(codes.size()) == layout.numel);
  const int largest = codes.empty() ? 0 : *std::max_element(codes.begin(), codes.end());
  QN_REQUIRE(largest <= grid.max_code(), ErrorKind::kConfig, "codes: found ", largest, ", expected at most ",
             grid.max_code(), " for ", grid.bits, " bits");
  PackedWeight packed;
  packed.scheme = Scheme::kAffine;
  packed.shape = std::move(shape);
  packed.zero_row = zero_row;
  packed.code_bits = grid.bits;
  packed.affine_axis = grid.axis;
  packed.scales = grid.scales;
  packed.zero_points = grid.zero_points;
  std::vector<std::byte> bytes(static_cast<size_t>(packed_bytes(layout.numel, grid.bits)));
  pack_bits(std::vector<uint16_t>(codes.begin(), codes.end()), grid.bits, bytes);
  packed.codes = ByteBlock::own(std::move(bytes));
  return packed;
}

PackedWeight pack_affine(std::span<const float> weight, std::vector<int64_t> shape, const AffineGrid& grid,
                         const base::ParallelFor& parallel_for, int64_t zero_row) {
  const std::vector<uint8_t> codes = quantize_affine(weight, shape, grid, parallel_for);
  return pack_affine(codes, std::move(shape), grid, zero_row);
}

AffineWeight unpack_affine(const PackedWeight& packed) {
  QN_INVARIANT(packed.scheme == Scheme::kAffine);
  AffineWeight weight{{packed.code_bits, packed.affine_axis, packed.scales, packed.zero_points}, {}};
  check_affine_grid(weight.grid, packed.shape, ErrorKind::kFormat);
  const std::vector<uint16_t> codes = read_codes(packed, packed.numel());
  weight.codes.resize(codes.size());
  std::transform(codes.begin(), codes.end(), weight.codes.begin(),
                 [](uint16_t code) { return static_cast<uint8_t>(code); });
  return weight;
}

}  // namespace quantnoise::codec
