#include "core/codec/blocks.h"

#include <algorithm>
#include <bit>

#include "quantnoise/base/checked.h"
#include "quantnoise/base/error.h"

namespace quantnoise::codec {

int64_t checked_blocks_per_row(int64_t cols, int block_size) {
  QN_REQUIRE(block_size > 0 && cols > 0 && cols % block_size == 0, ErrorKind::kConfig, "block size ",
             block_size, " does not divide ", cols, " columns");
  return cols / block_size;
}

std::vector<float> half_squared_norms(std::span<const float> centroids, int block_size,
                                      std::span<const float> element_weights) {
  const auto size = static_cast<size_t>(block_size);
  std::vector<float> norms(centroids.size() / size);
  for (size_t c = 0; c < norms.size(); ++c) {
    double sum = 0;
    for (size_t j = 0; j < size; ++j) {
      const double value = centroids[c * size + j];
      sum += value * value * (element_weights.empty() ? 1.0 : element_weights[j]);
    }
    norms[c] = static_cast<float>(0.5 * sum);
  }
  return norms;
}

int64_t blocks_per_partial(int64_t num_blocks, int num_centroids, int block_size) {
  constexpr int64_t kMostPartials = 64;
  constexpr int64_t kMostPartialBytes = int64_t{64} << 20;
  constexpr int64_t kMultiple = 1024;
  const int64_t partial_bytes = int64_t{num_centroids} * block_size * static_cast<int64_t>(sizeof(double));
  const int64_t num_partials = std::clamp<int64_t>(kMostPartialBytes / partial_bytes, 1, kMostPartials);
  return std::max(4 * kMultiple, base::round_up(base::ceil_div(num_blocks, num_partials), kMultiple));
}

void require_finite(std::span<const float> matrix, int64_t cols) {
  const auto is_finite = [](float value) {
    return (std::bit_cast<uint32_t>(value) & 0x7f800000u) != 0x7f800000u;
  };
  uint32_t all_finite = 1;  // no early exit: the loop becomes vector code
  for (const float value : matrix) all_finite &= is_finite(value);
  if (all_finite) return;
  const auto index = std::find_if_not(matrix.begin(), matrix.end(), is_finite) - matrix.begin();
  throw Error(ErrorKind::kNumeric, str_cat("row ", index / cols, ", column ", index % cols, ": found ",
                                           matrix[static_cast<size_t>(index)], ", expected a finite number"));
}

}  // namespace quantnoise::codec
