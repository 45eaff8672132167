#pragma once
// Affine (scalar) quantization to 2 … 8 bits (Jacob et al., "Quantization and Training of Neural Networks for
// Efficient Integer-Arithmetic-Only Inference", CVPR 2018, equation 1):
//
//   code(x)  = clip(round(x · fl(1 / scale)) + zero point, 0, 2^bits − 1)     round half to even, in fp32
//   value(x) = (code(x) − zero point) · scale
//
// Codes are never negative. What lies outside a grid's range clips to its end. Zero points are codes, so 0 is
// always a value of the grid. In 8 bits this is PyTorch's fake quantization to the bit.

#include <cstdint>
#include <span>
#include <vector>

#include "quantnoise/base/error.h"
#include "quantnoise/base/parallel.h"
#include "quantnoise/codec/packed_weight.h"

namespace quantnoise::codec {

struct AffineRange {
  float min = 0;
  float max = 0;
};

/// The values that codes stand for: one scale and zero point for the tensor, or for every index of one axis.
struct AffineGrid {
  int bits = 8;                            ///< 2 … 8
  int axis = -1;                           ///< −1: one for the tensor; else the dimension of the channels
  std::vector<float> scales = {1};         ///< 1, or as many as the axis is long; each at least 2^-126
  std::vector<int32_t> zero_points = {0};  ///< as many; 0 … 2^bits − 1

  int max_code() const { return (1 << bits) - 1; }
  /// Smallest and largest value of a channel (0 for a tensor's).
  AffineRange range(size_t channel) const;
};

/// The grid that covers `ranges`, one for the tensor (axis −1) or one a channel. Each range is widened to
/// hold 0.
///   asymmetric: scale = (max − min) / (2^bits − 1), zero point = round(−min / scale)
///   symmetric:  scale = max |x| / ((2^bits − 1) / 2), zero point = 2^(bits − 1)
/// Either way no value of the range is off by more than scale / 2. A
/// range that holds 0 alone gets the scale 1. Errors: kConfig for bits; kNumeric for ends that are not
/// finite, or beyond 2^126.
AffineGrid affine_grid(std::span<const AffineRange> ranges, int bits, bool symmetric, int axis = -1);

/// Errors: `kind` unless bits, axis, the numbers of scales and zero points, and they themselves fit a weight
/// of this shape.
void check_affine_grid(const AffineGrid& grid, std::span<const int64_t> shape, ErrorKind kind);

// In all that follows `shape` is that of the weight, row-major, and the grid must fit it (kConfig).

/// Errors: kNumeric with the place of a NaN or infinity.
std::vector<uint8_t> quantize_affine(std::span<const float> weight, std::span<const int64_t> shape,
                                     const AffineGrid& grid, const base::ParallelFor& parallel_for);

void dequantize_affine(std::span<const uint8_t> codes, std::span<const int64_t> shape, const AffineGrid& grid,
                       std::span<float> out, const base::ParallelFor& parallel_for);
/// As bf16 bits.
void dequantize_affine(std::span<const uint8_t> codes, std::span<const int64_t> shape, const AffineGrid& grid,
                       std::span<uint16_t> out, const base::ParallelFor& parallel_for);

/// out = value(x) without the detour through codes; NaN stays NaN, infinity clips. 16-bit numbers are bf16
/// bits. x and out may be the same memory.
void fake_quantize(std::span<const float> x, std::span<const int64_t> shape, const AffineGrid& grid,
                   std::span<float> out, const base::ParallelFor& parallel_for);
void fake_quantize(std::span<const float> x, std::span<const int64_t> shape, const AffineGrid& grid,
                   std::span<uint16_t> out, const base::ParallelFor& parallel_for);
void fake_quantize(std::span<const uint16_t> x, std::span<const int64_t> shape, const AffineGrid& grid,
                   std::span<uint16_t> out, const base::ParallelFor& parallel_for);

/// The dynamic quantization of activations: every row of x, shape (rows, cols), on the grid of its own
/// smallest and largest value, so that a row's result depends on no other. Errors: kNumeric as above.
void fake_quantize_rows(std::span<const float> x, int64_t rows, int64_t cols, int bits, bool symmetric,
                        std::span<float> out, const base::ParallelFor& parallel_for);

/// Codes of activations, x and codes (rows, cols): on one grid for all (axis −1). False when a value is not
/// finite; the codes are then meaningless.
bool quantize_rows(std::span<const float> x, int64_t rows, int64_t cols, const AffineGrid& grid,
                   std::span<uint8_t> codes, const base::ParallelFor& parallel_for);
/// The codes of fake_quantize_rows(): every row on a grid of its own, given in scales and zero_points (rows).
/// Errors: kNumeric as above.
void quantize_rows(std::span<const float> x, int64_t rows, int64_t cols, int bits, bool symmetric,
                   std::span<uint8_t> codes, std::span<float> scales, std::span<int32_t> zero_points,
                   const base::ParallelFor& parallel_for);

/// Σ (x − value(x))², in double precision; the same for any number of threads and every instruction set.
double affine_squared_error(std::span<const float> weight, std::span<const int64_t> shape,
                            const AffineGrid& grid, const base::ParallelFor& parallel_for);

/// Codes as the file holds them, bit-packed at the grid's width. Errors: kConfig for codes that do not fit.
PackedWeight pack_affine(std::span<const uint8_t> codes, std::vector<int64_t> shape, const AffineGrid& grid,
                         int64_t zero_row = -1);
/// Quantizes and packs.
PackedWeight pack_affine(std::span<const float> weight, std::vector<int64_t> shape, const AffineGrid& grid,
                         const base::ParallelFor& parallel_for, int64_t zero_row = -1);

struct AffineWeight {
  AffineGrid grid;
  std::vector<uint8_t> codes;
};
/// The inverse. Errors: kFormat.
AffineWeight unpack_affine(const PackedWeight& packed);

}  // namespace quantnoise::codec
