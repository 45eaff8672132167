#include "quantnoise/codec/packed_weight.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "core/codec/blocks.h"
#include "core/codec/packed_codes.h"
#include "quantnoise/base/checked.h"
#include "quantnoise/base/error.h"
#include "quantnoise/codec/affine.h"
#include "quantnoise/codec/bit_pack.h"
#include "quantnoise/codec/centroids.h"
#include "quantnoise/codec/half.h"

namespace quantnoise::codec {

namespace {

// Calls visit(row_index_of_code, packed_index) for every code of the tile order.
template <typename Visit>
void for_each_code(const CodeOrder& order, int64_t rows, int64_t blocks_per_row, const Visit& visit) {
  QN_REQUIRE(order.tile_rows > 0 && order.tile_rows % 64 == 0, ErrorKind::kFormat,
             "rows of a code tile: found ", order.tile_rows, ", expected a multiple of 64");
  int64_t packed_index = 0;
  for (int64_t tile = 0; tile < rows; tile += order.tile_rows) {
    const int64_t tile_end = std::min<int64_t>(rows, tile + order.tile_rows);
    for (int64_t block = 0; block < blocks_per_row; ++block) {
      for (int64_t row = tile; row < tile_end; ++row) visit(row * blocks_per_row + block, packed_index++);
    }
  }
}

int64_t shape_numel(const std::vector<int64_t>& shape) {
  uint64_t numel = 1;
  for (const int64_t size : shape) {
    QN_REQUIRE(size >= 0, ErrorKind::kFormat, "shape of a weight: found ", size, ", expected 0 or more");
    numel = base::checked_mul(numel, static_cast<uint64_t>(size), "elements of a weight");
  }
  QN_REQUIRE(numel <= uint64_t{1} << 48, ErrorKind::kFormat, "elements of a weight: found ", numel,
             ", expected at most 2^48");
  return static_cast<int64_t>(numel);
}

// `count` values of `type` as fp32.
std::vector<float> read_values(std::span<const std::byte> bytes, ScalarType type, int64_t count,
                               const char* what) {
  const int64_t needed = count * scalar_bytes(type);
  QN_REQUIRE(static_cast<int64_t>(bytes.size()) == needed, ErrorKind::kFormat, what, ": found ", bytes.size(),
             " bytes, expected ", needed);
  std::vector<float> values(static_cast<size_t>(count));
  if (type == ScalarType::kF32) {
    if (count > 0) std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }
  for (size_t i = 0; i < values.size(); ++i) {
    uint16_t bits = 0;
    switch (type) {
      case ScalarType::kF16:
        std::memcpy(&bits, bytes.data() + 2 * i, 2);
        values[i] = half_to_float(bits);
        break;
      case ScalarType::kBF16:
        std::memcpy(&bits, bytes.data() + 2 * i, 2);
        values[i] = bf16_to_float(bits);
        break;
      case ScalarType::kI8:
        values[i] = static_cast<float>(static_cast<int8_t>(bytes[i]));
        break;
      default:
        throw Error(ErrorKind::kFormat, str_cat(what, ": elements of this type cannot be weights"));
    }
  }
  return values;
}

std::vector<std::byte> write_values(std::span<const float> values, ScalarType type) {
  std::vector<std::byte> bytes(values.size() * static_cast<size_t>(scalar_bytes(type)));
  if (type == ScalarType::kF32) {
    if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
    return bytes;
  }
  QN_REQUIRE(type == ScalarType::kF16 || type == ScalarType::kBF16, ErrorKind::kConfig,
             "a dense weight is stored as fp32, fp16 or bf16");
  for (size_t i = 0; i < values.size(); ++i) {
    const uint16_t bits = type == ScalarType::kF16 ? float_to_half(values[i]) : float_to_bf16(values[i]);
    std::memcpy(bytes.data() + 2 * i, &bits, 2);
  }
  return bytes;
}

std::vector<float> read_centroids(const PackedWeight& packed) {
  QN_REQUIRE(packed.centroid_type == ScalarType::kF16 || packed.centroid_type == ScalarType::kI8,
             ErrorKind::kFormat, "centroids: expected fp16 or int8 elements");
  const int64_t count = int64_t{packed.num_centroids} * packed.block_size;
  std::vector<float> centroids =
      read_values(packed.centroids.bytes, packed.centroid_type, count, "centroids");
  if (packed.centroid_type == ScalarType::kI8) {
    for (float& value : centroids) value *= packed.centroid_scale;
  }
  return centroids;
}

void write_centroids(std::span<const float> centroids, ScalarType type, PackedWeight& packed) {
  QN_REQUIRE(type == ScalarType::kF16 || type == ScalarType::kI8, ErrorKind::kConfig,
             "centroids are stored as fp16 or int8");
  packed.centroid_type = type;
  if (type == ScalarType::kF16) {
    std::vector<float> rounded(centroids.size());
    round_centroids(centroids, type, rounded);
    packed.centroids = ByteBlock::own(write_values(rounded, type));
    return;
  }
  const AffineGrid grid = centroid_grid(centroids);
  const std::vector<uint8_t> codes =
      quantize_affine(centroids, {{static_cast<int64_t>(centroids.size())}}, grid, base::SerialFor());
  std::vector<std::byte> bytes(codes.size());
  std::transform(codes.begin(), codes.end(), bytes.begin(), [&](uint8_t code) {
    return static_cast<std::byte>(static_cast<int8_t>(code - grid.zero_points[0]));
  });
  packed.centroids = ByteBlock::own(std::move(bytes));
  packed.centroid_scale = grid.scales[0];
}

}  // namespace

std::vector<uint16_t> read_codes(const PackedWeight& packed, int64_t count) {
  const int64_t needed = packed_bytes(count, packed.code_bits);
  QN_REQUIRE(static_cast<int64_t>(packed.codes.bytes.size()) == needed, ErrorKind::kFormat, "codes: found ",
             packed.codes.bytes.size(), " bytes, expected ", needed);
  std::vector<uint16_t> codes(static_cast<size_t>(count));
  unpack_bits(packed.codes.bytes, packed.code_bits, codes);
  return codes;
}

int64_t scalar_bytes(ScalarType type) {
  switch (type) {
    case ScalarType::kI8:
    case ScalarType::kU8:
      return 1;
    case ScalarType::kF16:
    case ScalarType::kBF16:
      return 2;
    case ScalarType::kF32:
    case ScalarType::kI32:
      return 4;
    case ScalarType::kI64:
      return 8;
  }
  return 0;
}

ByteBlock ByteBlock::own(std::vector<std::byte> data) {
  auto owner = std::make_shared<const std::vector<std::byte>>(std::move(data));
  return {std::span<const std::byte>(*owner), owner};
}

int64_t PackedWeight::rows() const { return shape.empty() ? 1 : shape[0]; }
int64_t PackedWeight::cols() const {
  return shape.empty() ? 1 : shape_numel(std::vector<int64_t>(shape.begin() + 1, shape.end()));
}
int64_t PackedWeight::numel() const { return shape_numel(shape); }

int64_t PackedWeight::stored_bytes() const {
  switch (scheme) {
    case Scheme::kDense:
      return numel() * scalar_bytes(dense_type);
    case Scheme::kProduct: {
      const int64_t scale_bytes = centroid_type == ScalarType::kI8 ? 4 : 0;
      return packed_bytes(numel() / block_size, code_bits) +
             int64_t{num_centroids} * block_size * scalar_bytes(centroid_type) + scale_bytes;
    }
    case Scheme::kAffine:
      return packed_bytes(numel(), code_bits) + 4 * static_cast<int64_t>(scales.size()) +
             static_cast<int64_t>(zero_points.size());
  }
  return 0;
}

int code_bits_for(int num_centroids) {
  QN_REQUIRE(num_centroids >= 1 && num_centroids <= 65536, ErrorKind::kConfig, "number of centroids: found ",
             num_centroids, ", expected 1 to 65536");
  int bits = 1;
  while ((1 << bits) < num_centroids) ++bits;
  return bits;
}

PackedWeight pack_product(const ProductMatrix& matrix, std::vector<int64_t> shape, CodeOrder order,
                          ScalarType centroid_type) {
  const int64_t blocks_per_row = checked_blocks_per_row(matrix.cols, matrix.block_size);
  QN_INVARIANT(static_cast<int64_t>(matrix.codes.size()) == matrix.rows * blocks_per_row);
  PackedWeight packed;
  packed.scheme = Scheme::kProduct;
  packed.shape = std::move(shape);
  QN_INVARIANT(packed.rows() == matrix.rows && packed.cols() == matrix.cols);
  packed.block_size = matrix.block_size;
  packed.num_centroids = matrix.num_centroids;
  packed.code_bits = code_bits_for(matrix.num_centroids);
  packed.order = order;

  std::vector<uint16_t> ordered(matrix.codes.size());
  for_each_code(order, matrix.rows, blocks_per_row, [&](int64_t from, int64_t to) {
    ordered[static_cast<size_t>(to)] = matrix.codes[static_cast<size_t>(from)];
  });
  const int64_t num_bytes = packed_bytes(static_cast<int64_t>(ordered.size()), packed.code_bits);
  std::vector<std::byte> bytes(static_cast<size_t>(num_bytes));
  pack_bits(ordered, packed.code_bits, bytes);
  packed.codes = ByteBlock::own(std::move(bytes));
  write_centroids(matrix.centroids, centroid_type, packed);
  return packed;
}

ProductMatrix unpack_product(const PackedWeight& packed) {
  QN_INVARIANT(packed.scheme == Scheme::kProduct);
  ProductMatrix matrix;
  matrix.rows = packed.rows();
  matrix.cols = packed.cols();
  matrix.block_size = packed.block_size;
  matrix.num_centroids = packed.num_centroids;
  const int64_t blocks_per_row = checked_blocks_per_row(matrix.cols, matrix.block_size);
  QN_REQUIRE(packed.code_bits == code_bits_for(packed.num_centroids), ErrorKind::kFormat,
             "bits of a code: found ", packed.code_bits, ", expected ", code_bits_for(packed.num_centroids),
             " for ", packed.num_centroids, " centroids");
  matrix.centroids = read_centroids(packed);
  const std::vector<uint16_t> ordered = read_codes(packed, matrix.rows * blocks_per_row);
  const uint16_t largest = ordered.empty() ? uint16_t{0} : *std::max_element(ordered.begin(), ordered.end());
  QN_REQUIRE(largest < matrix.num_centroids, ErrorKind::kFormat, "codes: found ", largest,
             ", expected less than ", matrix.num_centroids, " centroids");
  matrix.codes.resize(ordered.size());
  for_each_code(packed.order, matrix.rows, blocks_per_row, [&](int64_t to, int64_t from) {
    matrix.codes[static_cast<size_t>(to)] = ordered[static_cast<size_t>(from)];
  });
  return matrix;
}

PackedWeight pack_dense(std::span<const float> values, std::vector<int64_t> shape, ScalarType type) {
  PackedWeight packed;
  packed.scheme = Scheme::kDense;
  packed.shape = std::move(shape);
  packed.dense_type = type;
  QN_INVARIANT(packed.numel() == static_cast<int64_t>(values.size()));
  packed.dense = ByteBlock::own(write_values(values, type));
  return packed;
}

std::vector<float> unpack_to_float(const PackedWeight& packed) {
  std::vector<float> values;
  switch (packed.scheme) {
    case Scheme::kDense:
      values = read_values(packed.dense.bytes, packed.dense_type, packed.numel(), "dense weight");
      break;
    case Scheme::kAffine: {
      const AffineWeight weight = unpack_affine(packed);
      values.resize(weight.codes.size());
      dequantize_affine(weight.codes, packed.shape, weight.grid, values, base::SerialFor());
      break;
    }
    case Scheme::kProduct: {
      const ProductMatrix matrix = unpack_product(packed);
      values.resize(static_cast<size_t>(packed.numel()));
      decode(matrix, values, base::SerialFor());
      break;
    }
  }
  if (packed.zero_row >= 0) {
    QN_REQUIRE(packed.zero_row < packed.rows(), ErrorKind::kFormat, "zero row: found ", packed.zero_row,
               ", expected less than ", packed.rows(), " rows");
    const int64_t cols = packed.cols();
    std::fill_n(values.begin() + packed.zero_row * cols, cols, 0.0f);
  }
  return values;
}

}  // namespace quantnoise::codec
