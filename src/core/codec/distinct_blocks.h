#pragma once
// Sets of blocks compared by value, for initial centroids that differ from each other.

#include <cstdint>
#include <span>
#include <unordered_set>
#include <vector>

namespace quantnoise::codec {

/// A set of block numbers; two blocks are the same when their elements are equal (0 and −0 too).
class BlockSet {
 public:
  BlockSet(std::span<const float> blocks, int block_size);
  /// False when an equal block was in the set already.
  bool insert(int64_t block);

 private:
  struct Hash {
    const float* blocks;
    int block_size;
    size_t operator()(int64_t block) const;
  };
  struct Equal {
    const float* blocks;
    int block_size;
    bool operator()(int64_t a, int64_t b) const;
  };
  std::unordered_set<int64_t, Hash, Equal> set_;
};

/// Numbers of `count` blocks with different values, drawn at random by seed; all there are when that is
/// fewer.
std::vector<int64_t> sample_distinct_blocks(std::span<const float> blocks, int block_size, int count,
                                            uint64_t seed);

}  // namespace quantnoise::codec
