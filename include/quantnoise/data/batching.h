#pragma once
// Which samples form which batch, in which order: pure functions of sizes and seed. Free of torch.

#include <cstdint>
#include <span>
#include <vector>

namespace quantnoise::data {

/// Batches of sample numbers, flat: batch b is indices[ends[b - 1], ends[b]).
struct BatchList {
  std::vector<int64_t> indices;
  std::vector<int64_t> ends;

  int64_t size() const { return static_cast<int64_t>(ends.size()); }
  std::span<const int64_t> operator[](int64_t batch) const;
};

struct BatchLimits {
  int64_t max_tokens = 0;                    ///< sentences × longest sentence; ≤ 0: no limit
  int64_t max_sentences = 0;                 ///< ≤ 0: no limit
  int64_t required_batch_size_multiple = 8;  ///< a batch has fewer sentences than this or a multiple of it
  const char* max_tokens_option = "--max-tokens";  ///< what messages call it
};

/// Groups neighbours of `indices` as fairseq's batch_by_size (data_utils_fast.pyx), except that the last
/// batch is kept even when its size is neither below nor a multiple of the required one. sizes[i]: tokens of
/// sample i. Errors: kData for a sample longer than max_tokens.
BatchList batch_by_size(std::span<const int64_t> indices, std::span<const int64_t> sizes,
                        const BatchLimits& limits);

/// 0 … count-1 shuffled, a function of (seed, epoch, name) alone.
std::vector<int64_t> random_permutation(int64_t count, uint64_t seed, int64_t epoch, const char* name);

/// Sample numbers by size ascending; ties in the order of `permutation` (numpy's lexsort([permutation,
/// sizes])).
std::vector<int64_t> order_by_size(std::span<const int64_t> sizes, std::span<const int64_t> permutation);

struct FilteredIndices {
  std::vector<int64_t> kept;
  std::vector<int64_t> too_long;
};
/// Separates the samples longer than max_size tokens; ≤ 0: none.
FilteredIndices filter_by_size(std::span<const int64_t> indices, std::span<const int64_t> sizes,
                               int64_t max_size);

/// Batch numbers of an epoch in the order of use: shuffled by seed + epoch, or 0, 1, … .
std::vector<int64_t> epoch_batch_order(int64_t num_batches, bool shuffle, uint64_t seed, int64_t epoch);

inline constexpr int64_t kEmptyBatch = -1;
/// Elements shard, shard + num_shards, …; every shard gets the same number, short ones end in kEmptyBatch.
std::vector<int64_t> shard_of(std::span<const int64_t> order, int num_shards, int shard);

}  // namespace quantnoise::data
