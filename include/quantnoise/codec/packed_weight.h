#pragma once
// PackedWeight: a weight as the file holds it. `quant` produces it, `pack` stores it, `runtime` executes it.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "quantnoise/codec/product.h"

namespace quantnoise::codec {

enum class Scheme { kDense, kAffine, kProduct };

enum class ScalarType { kF32, kF16, kBF16, kI8, kU8, kI32, kI64 };

int64_t scalar_bytes(ScalarType type);

/// Bytes that are owned or lie in a map that `owner` keeps alive.
struct ByteBlock {
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;

  static ByteBlock own(std::vector<std::byte> data);
};

/// Order of product codes in the file. Rows are grouped in tiles of `tile_rows` (the last tile may be
/// shorter); inside a tile all rows' codes of block 0 come first, then block 1, …: code (r, b) is number
/// tile(r)·tile_rows·blocks_per_row + b·rows_in_tile + (r mod tile_rows) of the bit-packed sequence.
struct CodeOrder {
  int tile_rows = 64;  ///< a multiple of 64
};

struct PackedWeight {
  Scheme scheme = Scheme::kDense;
  std::vector<int64_t> shape;  ///< of the dense weight; a matrix view is (shape[0], product of the rest)
  int64_t zero_row = -1;       ///< row that is zero by definition (padding_idx); −1: none

  ScalarType dense_type = ScalarType::kF32;
  ByteBlock dense;  ///< kDense: row-major elements

  int block_size = 0;     ///< kProduct
  int num_centroids = 0;  ///< kProduct
  int code_bits = 0;      ///< kProduct: ceil(log2(num_centroids)), at least 1; kAffine: 2 … 8
  CodeOrder order;        ///< kProduct
  ByteBlock codes;  ///< bit-packed, least significant bit first, no gap between codes; ceil(n·bits/8) bytes
  ScalarType centroid_type = ScalarType::kF16;  ///< kF16, or kI8 with centroid_scale
  ByteBlock centroids;                          ///< kProduct: (num_centroids, block_size)
  float centroid_scale = 1;

  int affine_axis = -1;       ///< kAffine: −1 per tensor, else the dimension of the channels (0: output)
  std::vector<float> scales;  ///< kAffine: 1 or shape[affine_axis]; each at least 2^-126
  std::vector<int32_t> zero_points;  ///< kAffine, same length; 0 … 2^code_bits − 1: a byte each in the file

  int64_t rows() const;
  int64_t cols() const;
  int64_t numel() const;
  /// Bytes the file holds for this weight: codes, centroids, scales, or the dense elements.
  int64_t stored_bytes() const;
};

/// Bits for codes of `num_centroids` values: ceil(log2 K), at least 1.
int code_bits_for(int num_centroids);

/// Packs a product-quantized matrix. shape: of the weight, product = rows·cols. centroid_type: kF16, or kI8
/// (centroid_grid() in codec/centroids.h). Errors: kNumeric for centroids the type cannot hold.
PackedWeight pack_product(const ProductMatrix& matrix, std::vector<int64_t> shape, CodeOrder order = {},
                          ScalarType centroid_type = ScalarType::kF16);
/// The inverse; the centroids are the stored (fp16 or int8) values as fp32. Errors: kFormat when a code is
/// out of range.
ProductMatrix unpack_product(const PackedWeight& packed);

/// A dense weight stored as `type` (kF32, kF16 or kBF16) from fp32 values.
PackedWeight pack_dense(std::span<const float> values, std::vector<int64_t> shape,
                        ScalarType type = ScalarType::kF32);

/// Any packed weight as fp32, row-major; row `zero_row` is zero.
std::vector<float> unpack_to_float(const PackedWeight& packed);

}  // namespace quantnoise::codec
