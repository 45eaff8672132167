#include "quantnoise/codec/packed_weight.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "quantnoise/base/error.h"
#include "quantnoise/base/random.h"
#include "quantnoise/codec/bit_pack.h"
#include "quantnoise/codec/half.h"

namespace quantnoise::codec {
namespace {

ProductMatrix random_matrix(int64_t rows, int64_t cols, int block_size, int num_centroids) {
  base::SequentialRandom random(1);
  ProductMatrix matrix{rows, cols, block_size, num_centroids, {}, {}};
  for (int i = 0; i < num_centroids * block_size; ++i) {
    matrix.centroids.push_back(half_to_float(float_to_half(random.uniform() - 0.5f)));
  }
  for (int64_t i = 0; i < rows * cols / block_size; ++i) {
    matrix.codes.push_back(static_cast<uint16_t>(random.below(static_cast<uint64_t>(num_centroids))));
  }
  return matrix;
}

TEST(PackedWeight, ProductRoundTripForAnyRowsAndOrder) {
  for (const int64_t rows : {1, 63, 64, 65, 130, 300}) {
    for (const int num_centroids : {1, 2, 3, 256, 300}) {
      for (const int tile_rows : {64, 128, 1024}) {
        const ProductMatrix matrix = random_matrix(rows, 40, 8, num_centroids);
        const PackedWeight packed = pack_product(matrix, {rows, 40}, {tile_rows});
        const ProductMatrix back = unpack_product(packed);
        ASSERT_EQ(back.codes, matrix.codes);
        ASSERT_EQ(back.centroids, matrix.centroids);
        ASSERT_EQ(back.num_centroids, num_centroids);
        ASSERT_EQ(packed.stored_bytes(),
                  static_cast<int64_t>(packed.codes.bytes.size() + packed.centroids.bytes.size()));
      }
    }
  }
}

TEST(PackedWeight, CodesLieInTilesBlockMajor) {
  const ProductMatrix matrix = random_matrix(150, 24, 8, 200);
  const PackedWeight packed = pack_product(matrix, {150, 24}, {64});
  std::vector<uint16_t> codes(matrix.codes.size());
  unpack_bits(packed.codes.bytes, packed.code_bits, codes);
  for (int64_t r = 0; r < 150; ++r) {
    for (int64_t b = 0; b < 3; ++b) {
      const int64_t tile = r / 64, rows_in_tile = std::min<int64_t>(64, 150 - tile * 64);
      const int64_t number = tile * 64 * 3 + b * rows_in_tile + r % 64;
      ASSERT_EQ(codes[static_cast<size_t>(number)], matrix.codes[static_cast<size_t>(r * 3 + b)]);
    }
  }
}

TEST(PackedWeight, ConvolutionShapesAreMatricesOfTheirFirstDimension) {
  const ProductMatrix matrix = random_matrix(6, 36, 9, 16);
  const PackedWeight packed = pack_product(matrix, {6, 4, 3, 3});
  EXPECT_EQ(packed.rows(), 6);
  EXPECT_EQ(packed.cols(), 36);
  EXPECT_EQ(packed.numel(), 216);
  EXPECT_EQ(packed.stored_bytes(), 24 * 4 / 8 + 16 * 9 * 2);
  EXPECT_EQ(unpack_product(packed).codes, matrix.codes);
}

TEST(PackedWeight, CodeBits) {
  EXPECT_EQ(code_bits_for(1), 1);
  EXPECT_EQ(code_bits_for(2), 1);
  EXPECT_EQ(code_bits_for(3), 2);
  EXPECT_EQ(code_bits_for(256), 8);
  EXPECT_EQ(code_bits_for(257), 9);
  EXPECT_EQ(code_bits_for(65536), 16);
  EXPECT_THROW(code_bits_for(0), Error);
}

TEST(PackedWeight, DenseTypesRoundTrip) {
  const std::vector<float> values = {1.5f, -2.25f, 0.0f, 1024.0f, -0.125f, 3.0f};
  for (const ScalarType type : {ScalarType::kF32, ScalarType::kF16, ScalarType::kBF16}) {
    const PackedWeight packed = pack_dense(values, {2, 3}, type);
    EXPECT_EQ(packed.stored_bytes(), 6 * scalar_bytes(type));
    EXPECT_EQ(unpack_to_float(packed), values);
  }
  EXPECT_THROW(pack_dense(values, {2, 3}, ScalarType::kI64), Error);
}

TEST(PackedWeight, ZeroRowIsZero) {
  PackedWeight packed = pack_product(random_matrix(70, 16, 8, 256), {70, 16});
  packed.zero_row = 1;
  const std::vector<float> values = unpack_to_float(packed);
  for (size_t j = 0; j < 16; ++j) EXPECT_EQ(values[16 + j], 0.0f);
  packed.zero_row = 70;
  EXPECT_THROW(unpack_to_float(packed), Error);
}

TEST(PackedWeight, Int8CentroidsAreScaled) {
  PackedWeight packed = pack_product(random_matrix(4, 8, 8, 2), {4, 8});
  std::vector<std::byte> bytes(16);
  for (size_t i = 0; i < 16; ++i) bytes[i] = static_cast<std::byte>(static_cast<int8_t>(i) - 8);
  packed.centroid_type = ScalarType::kI8;
  packed.centroid_scale = 0.25f;
  packed.centroids = ByteBlock::own(bytes);
  const ProductMatrix matrix = unpack_product(packed);
  for (size_t i = 0; i < 16; ++i) EXPECT_EQ(matrix.centroids[i], 0.25f * (static_cast<float>(i) - 8));
}

TEST(PackedWeight, AffineIsScaleTimesCodeLessZeroPoint) {
  PackedWeight packed;
  packed.scheme = Scheme::kAffine;
  packed.shape = {2, 3};
  packed.code_bits = 3;
  packed.affine_axis = 0;
  packed.scales = {0.5f, 2.0f};
  packed.zero_points = {1, 4};
  const std::vector<uint16_t> codes = {0, 1, 7, 4, 5, 2};
  std::vector<std::byte> bytes(3);
  pack_bits(codes, 3, bytes);
  packed.codes = ByteBlock::own(bytes);
  EXPECT_EQ(unpack_to_float(packed), (std::vector<float>{-0.5f, 0.0f, 3.0f, 0.0f, 2.0f, -4.0f}));
  EXPECT_EQ(packed.stored_bytes(), 3 + 2 * (4 + 1));
}

TEST(PackedWeight, DamageIsAFormatError) {
  const auto kind_after = [](const auto& damage) {
    PackedWeight packed = pack_product(random_matrix(70, 16, 8, 200), {70, 16});
    damage(packed);
    try {
      unpack_to_float(packed);
    } catch (const Error& error) {
      return error.kind();
    }
    return ErrorKind::kFailed;
  };
  EXPECT_EQ(kind_after([](PackedWeight& p) { p.codes.bytes = p.codes.bytes.subspan(1); }),
            ErrorKind::kFormat);
  EXPECT_EQ(kind_after([](PackedWeight& p) { p.centroids.bytes = p.centroids.bytes.subspan(2); }),
            ErrorKind::kFormat);
  EXPECT_EQ(kind_after([](PackedWeight& p) { p.code_bits = 9; }), ErrorKind::kFormat);
  EXPECT_EQ(kind_after([](PackedWeight& p) { p.order.tile_rows = 0; }), ErrorKind::kFormat);
  EXPECT_EQ(kind_after([](PackedWeight& p) { p.shape = {-1, 16}; }), ErrorKind::kFormat);
  EXPECT_EQ(kind_after([](PackedWeight& p) {
              std::vector<std::byte> codes(140, std::byte{255});
              p.codes = ByteBlock::own(codes);
            }),
            ErrorKind::kFormat);
}

TEST(PackedWeight, CentroidsBeyondFp16AreRefused) {
  ProductMatrix matrix = random_matrix(4, 8, 8, 2);
  matrix.centroids[3] = 1e6f;
  try {
    pack_product(matrix, {4, 8});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kNumeric);
    EXPECT_THAT(error.what(), ::testing::HasSubstr("65504"));
  }
}

}  // namespace
}  // namespace quantnoise::codec
