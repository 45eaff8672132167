#include "quantnoise/codec/product.h"

#include <algorithm>

#include "core/codec/blocks.h"
#include "quantnoise/base/checked.h"
#include "quantnoise/base/error.h"
#include "quantnoise/codec/half.h"
#include "quantnoise/kernels/assign.h"
#include "quantnoise/kernels/decode.h"

namespace quantnoise::codec {

namespace {

constexpr int64_t kGrainBlocks = int64_t{1} << 13;

void check_matrix(const ProductMatrix& matrix, size_t out_size, int64_t out_rows) {
  const int64_t blocks_per_row = checked_blocks_per_row(matrix.cols, matrix.block_size);
  QN_INVARIANT(static_cast<int64_t>(matrix.codes.size()) == matrix.rows * blocks_per_row);
  QN_INVARIANT(static_cast<int64_t>(matrix.centroids.size()) ==
               int64_t{matrix.num_centroids} * matrix.block_size);
  QN_INVARIANT(static_cast<int64_t>(out_size) == out_rows * matrix.cols);
}

}  // namespace

void assign_blocks(std::span<const float> matrix, int64_t rows, int64_t cols, int block_size,
                   std::span<const float> centroids, int num_centroids, std::span<uint16_t> codes,
                   const base::ParallelFor& parallel_for) {
  const int64_t num_blocks = rows * checked_blocks_per_row(cols, block_size);
  QN_INVARIANT(static_cast<int64_t>(matrix.size()) == rows * cols);
  QN_INVARIANT(static_cast<int64_t>(codes.size()) == num_blocks);
  QN_INVARIANT(static_cast<int64_t>(centroids.size()) == int64_t{num_centroids} * block_size);
  const std::vector<float> half_norms = half_squared_norms(centroids, block_size);
  parallel_for(num_blocks, kGrainBlocks, [&](int64_t begin, int64_t end) {
    const kernels::ScoreArgs args{matrix.data() + begin * block_size,
                                  nullptr,
                                  end - begin,
                                  block_size,
                                  centroids.data(),
                                  half_norms.data(),
                                  num_centroids};
    kernels::assign_kernels().assign(args, codes.data() + begin, nullptr);
  });
}

void decode(const ProductMatrix& matrix, std::span<float> out, const base::ParallelFor& parallel_for) {
  check_matrix(matrix, out.size(), matrix.rows);
  parallel_for(static_cast<int64_t>(matrix.codes.size()), kGrainBlocks, [&](int64_t begin, int64_t end) {
    kernels::decode_kernels().decode_f32(matrix.codes.data() + begin, end - begin, matrix.centroids.data(),
                                         matrix.block_size, out.data() + begin * matrix.block_size);
  });
}

void decode_bf16(const ProductMatrix& matrix, std::span<uint16_t> out,
                 const base::ParallelFor& parallel_for) {
  check_matrix(matrix, out.size(), matrix.rows);
  std::vector<uint16_t> centroids(matrix.centroids.size());
  std::transform(matrix.centroids.begin(), matrix.centroids.end(), centroids.begin(), float_to_bf16);
  parallel_for(static_cast<int64_t>(matrix.codes.size()), kGrainBlocks, [&](int64_t begin, int64_t end) {
    kernels::decode_kernels().decode_u16(matrix.codes.data() + begin, end - begin, centroids.data(),
                                         matrix.block_size, out.data() + begin * matrix.block_size);
  });
}

void decode_rows(const ProductMatrix& matrix, std::span<const int64_t> row_indices, std::span<float> out,
                 const base::ParallelFor& parallel_for) {
  check_matrix(matrix, out.size(), static_cast<int64_t>(row_indices.size()));
  const int64_t blocks_per_row = matrix.blocks_per_row();
  for (const int64_t row : row_indices) {
    QN_REQUIRE(row >= 0 && row < matrix.rows, ErrorKind::kData, "row index: found ", row, ", expected 0 to ",
               matrix.rows - 1);
  }
  parallel_for(static_cast<int64_t>(row_indices.size()), base::ceil_div(kGrainBlocks, blocks_per_row),
               [&](int64_t begin, int64_t end) {
                 for (int64_t i = begin; i < end; ++i) {
                   const int64_t row = row_indices[static_cast<size_t>(i)];
                   kernels::decode_kernels().decode_f32(matrix.codes.data() + row * blocks_per_row,
                                                        blocks_per_row, matrix.centroids.data(),
                                                        matrix.block_size, out.data() + i * matrix.cols);
                 }
               });
}

void accumulate_centroid_gradient(std::span<const float> matrix_gradient, int64_t rows, int64_t cols,
                                  int block_size, std::span<const uint16_t> codes, int num_centroids,
                                  CentroidGradient mode, std::span<const int64_t> counts,
                                  std::span<float> centroid_gradient, const base::ParallelFor& parallel_for) {
  const int64_t num_blocks = rows * checked_blocks_per_row(cols, block_size);
  const auto num_sums = static_cast<size_t>(num_centroids) * static_cast<size_t>(block_size);
  QN_INVARIANT(static_cast<int64_t>(matrix_gradient.size()) == rows * cols);
  QN_INVARIANT(static_cast<int64_t>(codes.size()) == num_blocks);
  QN_INVARIANT(centroid_gradient.size() == num_sums);
  QN_INVARIANT(mode == CentroidGradient::kSum || counts.size() == static_cast<size_t>(num_centroids));

  const int64_t grain = blocks_per_partial(num_blocks, num_centroids, block_size);
  std::vector<std::vector<double>> partials(static_cast<size_t>(base::ceil_div(num_blocks, grain)));
  parallel_for(num_blocks, grain, [&](int64_t begin, int64_t end) {
    std::vector<double>& sums = partials[static_cast<size_t>(begin / grain)];
    sums.assign(num_sums, 0.0);
    kernels::assign_kernels().accumulate(matrix_gradient.data() + begin * block_size, codes.data() + begin,
                                         end - begin, block_size, sums.data(), nullptr);
  });
  for (size_t i = 0; i < num_sums; ++i) {
    double sum = 0;
    for (const std::vector<double>& partial : partials) sum += partial[i];
    if (mode == CentroidGradient::kMean) {
      sum /= static_cast<double>(std::max<int64_t>(1, counts[i / static_cast<size_t>(block_size)]));
    }
    centroid_gradient[i] += static_cast<float>(sum);
  }
}

std::vector<int64_t> count_codes(std::span<const uint16_t> codes, int num_centroids) {
  std::vector<int64_t> counts(static_cast<size_t>(num_centroids));
  for (const uint16_t code : codes) {
    QN_INVARIANT(code < num_centroids);
    ++counts[code];
  }
  return counts;
}

}  // namespace quantnoise::codec
