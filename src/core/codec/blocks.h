#pragma once
// Helpers shared by the product codec: checked block geometry, norms of centroids, chunks of fixed size.

#include <cstdint>
#include <span>
#include <vector>

namespace quantnoise::codec {

/// cols / block_size. Errors: kConfig unless both are positive and block_size divides cols.
int64_t checked_blocks_per_row(int64_t cols, int block_size);

/// Half the squared norm of every centroid, optionally with a weight for each element of a block.
std::vector<float> half_squared_norms(std::span<const float> centroids, int block_size,
                                      std::span<const float> element_weights = {});

/// Blocks of one partial sum: so many that at most 64 partial sums of (num_centroids, block_size) doubles
/// exist and that they stay small together. Depends on the sizes only, never on the number of threads.
int64_t blocks_per_partial(int64_t num_blocks, int num_centroids, int block_size);

/// Errors: kNumeric with row and column of the first value that is not finite.
void require_finite(std::span<const float> matrix, int64_t cols);

}  // namespace quantnoise::codec
