#pragma once
// Decoded panels and their products, compiled once for each instruction set with vectors.

#include "core/kernels/lanes.h"
#include "quantnoise/kernels/panel.h"

namespace quantnoise::kernels {
namespace {

template <int kBits>
inline int64_t code_at(const uint8_t* codes, int row) {
  if (kBits == 4) return codes[row / 2] >> (row % 2 * 4) & 15;
  if (kBits == 8) return codes[row];
  uint16_t code;
  __builtin_memcpy(&code, codes + 2 * row, 2);
  return code;
}

using Quad = float __attribute__((vector_size(16)));

/// Four rows of four become four columns.
inline void turn_quads(Quad (&rows)[4]) {
  const Quad a = __builtin_shufflevector(rows[0], rows[1], 0, 4, 1, 5);
  const Quad b = __builtin_shufflevector(rows[2], rows[3], 0, 4, 1, 5);
  const Quad c = __builtin_shufflevector(rows[0], rows[1], 2, 6, 3, 7);
  const Quad d = __builtin_shufflevector(rows[2], rows[3], 2, 6, 3, 7);
  rows[0] = __builtin_shufflevector(a, b, 0, 1, 4, 5);
  rows[1] = __builtin_shufflevector(a, b, 2, 3, 6, 7);
  rows[2] = __builtin_shufflevector(c, d, 0, 1, 4, 5);
  rows[3] = __builtin_shufflevector(c, d, 2, 3, 6, 7);
}

/// Elements are turned four at a time; those beyond the block are overwritten by the block that follows.
template <int kBits>
void decode_of(const CodeStep& step, int64_t num_blocks, const PaddedCentroids& centroids, float* out) {
  for (int64_t b = 0; b < num_blocks; ++b) {
    const uint8_t* codes = step.codes + b * step.block_stride;
    float* to = out + b * centroids.block_size * kStepRows;
    for (int row = 0; row < kStepRows; row += 4) {
      const float* from[4];
      for (int i = 0; i < 4; ++i)
        from[i] = centroids.values + code_at<kBits>(codes, row + i) * centroids.stride;
      for (int j = 0; j < centroids.block_size; j += 4) {
        Quad quads[4];
        for (int i = 0; i < 4; ++i) quads[i] = load_as<Quad>(from[i] + j);
        turn_quads(quads);
        for (int i = 0; i < 4; ++i) store_as(to + (j + i) * kStepRows + row, quads[i]);
      }
    }
  }
}

inline void decode(const CodeStep& step, int64_t num_blocks, const PaddedCentroids& centroids,
                   float* out) noexcept {
  (step.code_bits == 4   ? decode_of<4>
   : step.code_bits == 8 ? decode_of<8>
                         : decode_of<16>)(step, num_blocks, centroids, out);
}

constexpr int kTileRows = 6;
// With 6 rows they leave registers for the operands.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kTileVectors = 4;
#else
constexpr int kTileVectors = 2;
#endif

template <int kRows>
inline void multiply_tile(const float* x, int64_t x_stride, int64_t depth, const float* panel, float* y,
                          int64_t y_stride, bool accumulate) {
  Floats sums[kRows][kTileVectors];
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kTileVectors; ++v)
      sums[r][v] = accumulate ? load(y + r * y_stride + v * kLanes) : Floats{};
  }
  for (int64_t i = 0; i < depth; ++i) {
    Floats right[kTileVectors];
    for (int v = 0; v < kTileVectors; ++v) right[v] = load(panel + i * kStepRows + v * kLanes);
    for (int r = 0; r < kRows; ++r) {
      const Floats left = broadcast(x[r * x_stride + i]);
      for (int v = 0; v < kTileVectors; ++v) sums[r][v] += left * right[v];
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kTileVectors; ++v) store(y + r * y_stride + v * kLanes, sums[r][v]);
  }
}

inline void multiply(const float* x, int64_t x_stride, int64_t n, int64_t depth, const float* panel, float* y,
                     int64_t y_stride, bool accumulate) noexcept {
  static constexpr decltype(&multiply_tile<1>) kByRows[kTileRows] = {multiply_tile<1>, multiply_tile<2>,
                                                                     multiply_tile<3>, multiply_tile<4>,
                                                                     multiply_tile<5>, multiply_tile<6>};
  for (int64_t row = 0; row < n; row += kTileRows) {
    const int64_t num_rows = n - row < kTileRows ? n - row : kTileRows;
    for (int column = 0; column < kStepRows; column += kTileVectors * kLanes) {
      kByRows[num_rows - 1](x + row * x_stride, x_stride, depth, panel + column, y + row * y_stride + column,
                            y_stride, accumulate);
    }
  }
}

/// A padded centroid is kParts vectors of type Part. One sum a row, 8 / kParts rows at a time.
template <typename Part, int kParts, int kBits>
void multiply_vector_of(const CodeStep& step, int64_t num_blocks, const float* centroids, const float* x,
                        float* y) {
  constexpr int kPartLanes = sizeof(Part) / 4, kStride = kPartLanes * kParts, kRows = 8 / kParts;
  for (int row = 0; row < kStepRows; row += kRows) {
    Part sums[kRows][kParts] = {};
    for (int64_t b = 0; b < num_blocks; ++b) {
      const uint8_t* codes = step.codes + b * step.block_stride;
      for (int r = 0; r < kRows; ++r) {
        const float* centroid = centroids + code_at<kBits>(codes, row + r) * kStride;
        for (int p = 0; p < kParts; ++p) {
          sums[r][p] +=
              load_as<Part>(centroid + p * kPartLanes) * load_as<Part>(x + b * kStride + p * kPartLanes);
        }
      }
    }
    for (int r = 0; r < kRows; ++r) {
      Part total = sums[r][0];
      for (int p = 1; p < kParts; ++p) total += sums[r][p];
      float sum = 0;
      for (int i = 0; i < kPartLanes; ++i) sum += total[i];
      y[row + r] = sum;
    }
  }
}

#if defined(__AVX2__)
using Octet = float __attribute__((vector_size(32)));
constexpr int kOctetParts = 1;
#else
using Octet = Quad;
constexpr int kOctetParts = 2;
#endif

template <int kBits>
void multiply_vector_by_width(const CodeStep& step, int64_t num_blocks, const PaddedCentroids& centroids,
                              const float* x, float* y) {
  (centroids.stride == 4 ? multiply_vector_of<Quad, 1, kBits>
   : centroids.stride == 8
       ? multiply_vector_of<Octet, kOctetParts, kBits>
       : multiply_vector_of<Floats, 16 / kLanes, kBits>)(step, num_blocks, centroids.values, x, y);
}

inline void multiply_vector(const CodeStep& step, int64_t num_blocks, const PaddedCentroids& centroids,
                            const float* x, float* y) noexcept {
  (step.code_bits == 4   ? multiply_vector_by_width<4>
   : step.code_bits == 8 ? multiply_vector_by_width<8>
                         : multiply_vector_by_width<16>)(step, num_blocks, centroids, x, y);
}

inline constexpr PanelKernels panel_set(const char* name) {
  return {name, decode, multiply, multiply_vector};
}

}  // namespace
}  // namespace quantnoise::kernels
