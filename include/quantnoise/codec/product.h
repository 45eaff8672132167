#pragma once
// Product quantization of a matrix: its rows are cut into blocks of `block_size` neighbouring inputs, and
// every block is replaced by one of `num_centroids` centroids of a single codebook shared by the whole matrix
// (Stock et al., "And the Bit Goes Down", ICLR 2020; Fan et al., "Training with Quantization Noise", ICLR
// 2021).

#include <cstdint>
#include <span>
#include <vector>

#include "quantnoise/base/parallel.h"

namespace quantnoise::codec {

/// A product-quantized matrix in memory. Row r, block b covers the elements [b·block_size, (b+1)·block_size)
/// of row r.
struct ProductMatrix {
  int64_t rows = 0;
  int64_t cols = 0;
  int block_size = 0;
  int num_centroids = 0;
  std::vector<float> centroids;  ///< Layout: (num_centroids, block_size)
  std::vector<uint16_t> codes;   ///< Layout: (rows, cols / block_size), row-major

  int64_t blocks_per_row() const { return block_size == 0 ? 0 : cols / block_size; }
};

struct KMeansOptions {
  int num_centroids = 256;  ///< 1 … 65,536; shrinks to the number of distinct blocks
  int iterations = 20;      ///< assignment–update rounds; a final assignment follows
  /// Rounds on a sample of the rows that find the first centroids, where the matrix is much larger than the
  /// sample; 0: start from blocks drawn at random.
  int sample_iterations = 10;
  uint64_t seed = 1;
  /// Optional importance of every input column, shape (cols): minimizes Σ_j w_j (x_j − c_j)². Empty: all 1.
  std::span<const float> column_weights;
};

struct KMeansReport {
  double objective = 0;  ///< sum of (weighted) squared errors of the result
  int iterations = 0;    ///< rounds done; fewer than asked when assignments stopped changing
  int empty_clusters_split = 0;
  int num_centroids = 0;  ///< after shrinking
};

/// Quantizes `matrix`, shape (rows, cols) row-major fp32. Same result for any number of threads.
/// Errors: kConfig when block_size does not divide cols, num_centroids is out of range; kNumeric for NaN or
/// infinity.
ProductMatrix quantize_product(std::span<const float> matrix, int64_t rows, int64_t cols, int block_size,
                               const KMeansOptions& options, const base::ParallelFor& parallel_for,
                               KMeansReport* report = nullptr);

/// Nearest centroid of every block (ties to the lowest index) → codes, shape (rows, cols / block_size).
void assign_blocks(std::span<const float> matrix, int64_t rows, int64_t cols, int block_size,
                   std::span<const float> centroids, int num_centroids, std::span<uint16_t> codes,
                   const base::ParallelFor& parallel_for);

/// The dense matrix, shape (rows, cols) fp32.
void decode(const ProductMatrix& matrix, std::span<float> out, const base::ParallelFor& parallel_for);
/// The dense matrix as bf16 bits.
void decode_bf16(const ProductMatrix& matrix, std::span<uint16_t> out, const base::ParallelFor& parallel_for);
/// Selected rows, shape (row_indices.size(), cols). Indices must lie in [0, rows).
void decode_rows(const ProductMatrix& matrix, std::span<const int64_t> row_indices, std::span<float> out,
                 const base::ParallelFor& parallel_for);

enum class CentroidGradient {
  kSum,   ///< sum over the blocks of a centroid (fairseq's PQLinear and PQEmbedding)
  kMean,  ///< mean over the blocks (the paper; fairseq's PQConv2d)
};

/// Adds to `centroid_gradient`, shape (num_centroids, block_size), the gradient of the centroids for the
/// gradient of the dense matrix, shape (rows, cols) fp32. Fixed chunks combined in order: the same for any
/// number of threads. codes: as in ProductMatrix. counts: number of blocks of each centroid (kMean only; may
/// be empty for kSum).
void accumulate_centroid_gradient(std::span<const float> matrix_gradient, int64_t rows, int64_t cols,
                                  int block_size, std::span<const uint16_t> codes, int num_centroids,
                                  CentroidGradient mode, std::span<const int64_t> counts,
                                  std::span<float> centroid_gradient, const base::ParallelFor& parallel_for);

/// How many blocks carry each code, shape (num_centroids).
std::vector<int64_t> count_codes(std::span<const uint16_t> codes, int num_centroids);

}  // namespace quantnoise::codec
