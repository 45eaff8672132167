#include "core/codec/distinct_blocks.h"

#include <algorithm>
#include <bit>

#include "quantnoise/base/random.h"

namespace quantnoise::codec {

BlockSet::BlockSet(std::span<const float> blocks, int block_size)
    : set_(64, Hash{blocks.data(), block_size}, Equal{blocks.data(), block_size}) {}

bool BlockSet::insert(int64_t block) { return set_.insert(block).second; }

size_t BlockSet::Hash::operator()(int64_t block) const {
  uint64_t hash = 0;
  const float* values = blocks + block * block_size;
  // + 0.0f turns −0 into 0, which compares equal to it.
  for (int j = 0; j < block_size; ++j) hash = base::mix64(hash ^ std::bit_cast<uint32_t>(values[j] + 0.0f));
  return hash;
}

bool BlockSet::Equal::operator()(int64_t a, int64_t b) const {
  return std::equal(blocks + a * block_size, blocks + (a + 1) * block_size, blocks + b * block_size);
}

std::vector<int64_t> sample_distinct_blocks(std::span<const float> blocks, int block_size, int count,
                                            uint64_t seed) {
  const int64_t num_blocks = static_cast<int64_t>(blocks.size()) / block_size;
  const auto wanted = static_cast<size_t>(std::min<int64_t>(count, num_blocks));
  BlockSet seen(blocks, block_size);
  std::vector<int64_t> chosen;
  base::SequentialRandom random(seed, "kmeans");
  // A few draws a centroid are enough unless values repeat a lot; then every block is looked at once.
  for (size_t draws = 0; chosen.size() < wanted && draws < 4 * wanted; ++draws) {
    const auto block = static_cast<int64_t>(random.below(static_cast<uint64_t>(num_blocks)));
    if (seen.insert(block)) chosen.push_back(block);
  }
  for (int64_t block = 0; chosen.size() < wanted && block < num_blocks; ++block) {
    if (seen.insert(block)) chosen.push_back(block);
  }
  return chosen;
}

}  // namespace quantnoise::codec
