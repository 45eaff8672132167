#include "core/runtime/weight_rows.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "quantnoise/base/error.h"
#include "quantnoise/codec/bit_pack.h"
#include "quantnoise/codec/half.h"

namespace quantnoise::runtime {

namespace {

using codec::ScalarType;
using codec::Scheme;

template <typename T>
T load(const std::byte* bytes, int64_t index) {
  T value;
  std::memcpy(&value, bytes + index * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}

float element(ScalarType type, const std::byte* bytes, int64_t index) {
  switch (type) {
    case ScalarType::kF16:
      return codec::half_to_float(load<uint16_t>(bytes, index));
    case ScalarType::kBF16:
      return codec::bf16_to_float(load<uint16_t>(bytes, index));
    case ScalarType::kI8:
      return load<int8_t>(bytes, index);
    default:
      return load<float>(bytes, index);
  }
}

void require_bytes(const char* what, const codec::ByteBlock& block, int64_t expected) {
  QN_REQUIRE(static_cast<int64_t>(block.bytes.size()) == expected, ErrorKind::kFormat, what, ": found ",
             block.bytes.size(), " bytes, expected ", expected);
}

void check_dense(const codec::PackedWeight& weight) {
  const ScalarType type = weight.dense_type;
  QN_REQUIRE(type == ScalarType::kF32 || type == ScalarType::kF16 || type == ScalarType::kBF16,
             ErrorKind::kFormat, "a dense weight: expected fp32, fp16 or bf16");
  require_bytes("a dense weight", weight.dense, weight.numel() * codec::scalar_bytes(type));
}

void check_product(const codec::PackedWeight& weight) {
  QN_REQUIRE(weight.block_size >= 1 && weight.cols() % weight.block_size == 0, ErrorKind::kFormat,
             "block size of product codes: found ", weight.block_size, ", expected a divisor of ",
             weight.cols(), " columns");
  QN_REQUIRE(weight.code_bits >= 1 && weight.code_bits <= 16 && weight.order.tile_rows >= 1,
             ErrorKind::kFormat, "product codes: found ", weight.code_bits, " bits and tiles of ",
             weight.order.tile_rows, " rows");
  require_bytes("codes", weight.codes,
                codec::packed_bytes(weight.numel() / weight.block_size, weight.code_bits));
  require_bytes(
      "centroids", weight.centroids,
      int64_t{weight.num_centroids} * weight.block_size * codec::scalar_bytes(weight.centroid_type));
}

}  // namespace

WeightRows::WeightRows(codec::PackedWeight weight)
    : weight_(std::move(weight)), rows_(weight_.rows()), cols_(weight_.cols()) {
  if (weight_.scheme == Scheme::kDense) check_dense(weight_);
  if (weight_.scheme == Scheme::kProduct) check_product(weight_);
  if (weight_.scheme != Scheme::kAffine) return;
  QN_REQUIRE(weight_.code_bits >= 1 && weight_.code_bits <= 8, ErrorKind::kFormat, "affine codes: found ",
             weight_.code_bits, " bits");
  require_bytes("codes", weight_.codes, codec::packed_bytes(weight_.numel(), weight_.code_bits));
  const int64_t channels =
      weight_.affine_axis < 0 ? 1 : weight_.shape.at(static_cast<size_t>(weight_.affine_axis));
  QN_REQUIRE(static_cast<int64_t>(weight_.scales.size()) == channels &&
                 static_cast<int64_t>(weight_.zero_points.size()) == channels,
             ErrorKind::kFormat, "scales: found ", weight_.scales.size(), ", expected ", channels);
  for (size_t i = static_cast<size_t>(weight_.affine_axis + 1); i < weight_.shape.size(); ++i)
    channel_stride_ *= weight_.shape[i];
}

void WeightRows::read(int64_t row, float* out) const {
  QN_INVARIANT(row >= 0 && row < rows_);
  if (row == weight_.zero_row) {
    std::fill_n(out, cols_, 0.0f);
  } else if (weight_.scheme == Scheme::kDense) {
    read_dense(row, out);
  } else if (weight_.scheme == Scheme::kAffine) {
    read_affine(row, out);
  } else {
    read_product(row, out);
  }
}

void WeightRows::read_dense(int64_t row, float* out) const {
  const std::byte* bytes = weight_.dense.bytes.data() + row * cols_ * codec::scalar_bytes(weight_.dense_type);
  if (weight_.dense_type == ScalarType::kF32) {
    std::memcpy(out, bytes, static_cast<size_t>(cols_) * sizeof(float));
    return;
  }
  for (int64_t i = 0; i < cols_; ++i) out[i] = element(weight_.dense_type, bytes, i);
}

// A code of at most 16 bits lies within three bytes.
uint32_t WeightRows::code(int64_t index) const {
  const std::span<const std::byte> bytes = weight_.codes.bytes;
  const auto bit = static_cast<size_t>(index) * static_cast<size_t>(weight_.code_bits);
  uint32_t word = 0;
  for (size_t i = 0; i < 3 && bit / 8 + i < bytes.size(); ++i)
    word |= std::to_integer<uint32_t>(bytes[bit / 8 + i]) << (8 * i);
  return (word >> (bit % 8)) & ((1u << weight_.code_bits) - 1);
}

void WeightRows::read_affine(int64_t row, float* out) const {
  const bool by_channel = weight_.affine_axis >= 0;
  const auto num_channels = static_cast<int64_t>(weight_.scales.size());
  for (int64_t i = 0; i < cols_; ++i) {
    const int64_t index = row * cols_ + i;
    const auto channel = static_cast<size_t>(by_channel ? index / channel_stride_ % num_channels : 0);
    const int32_t multiple = static_cast<int32_t>(code(index)) - weight_.zero_points[channel];
    out[i] = weight_.scales[channel] * static_cast<float>(multiple);
  }
}

void WeightRows::read_product(int64_t row, float* out) const {
  const int64_t block_size = weight_.block_size, num_blocks = cols_ / block_size;
  const int64_t tile_rows = weight_.order.tile_rows, tile = row / tile_rows;
  const int64_t rows_in_tile = std::min(tile_rows, rows_ - tile * tile_rows);
  const int64_t first = tile * tile_rows * num_blocks + row % tile_rows;
  const float scale = weight_.centroid_type == ScalarType::kI8 ? weight_.centroid_scale : 1.0f;
  for (int64_t b = 0; b < num_blocks; ++b) {
    const uint32_t centroid = code(first + b * rows_in_tile);
    QN_REQUIRE(centroid < static_cast<uint32_t>(weight_.num_centroids), ErrorKind::kFormat, "codes: found ",
               centroid, ", expected less than ", weight_.num_centroids, " centroids");
    for (int64_t i = 0; i < block_size; ++i)
      *out++ =
          scale * element(weight_.centroid_type, weight_.centroids.bytes.data(), centroid * block_size + i);
  }
}

}  // namespace quantnoise::runtime
