#include "quantnoise/data/batching.h"

#include <algorithm>
#include <numeric>

#include "quantnoise/base/error.h"
#include "quantnoise/base/random.h"

namespace quantnoise::data {

namespace {

// The greedy grouping. Positions [batch_begin, batch_end) are a finished batch that may still grow;
// [batch_end, here] is the tail, which joins it as soon as both together have a permitted size.
class Grouping {
 public:
  explicit Grouping(const BatchLimits& limits) : limits_(limits) {}

  void add(int64_t size) {
    tail_longest_ = std::max(tail_longest_, size);
    ++position_;
    const int64_t longest = std::max(batch_longest_, tail_longest_);
    const int64_t count = position_ - batch_begin_;
    if (is_over(count, longest)) {
      start_new_batch(size);
    } else if (is_size_permitted(count)) {
      take_tail(longest);
    }
  }

  std::vector<int64_t> finish() {
    if (batch_end_ > batch_begin_) ends_.push_back(batch_end_);
    if (position_ > batch_end_) ends_.push_back(position_);
    return std::move(ends_);
  }

 private:
  bool is_too_many_tokens(int64_t num_tokens) const {
    return limits_.max_tokens > 0 && num_tokens > limits_.max_tokens;
  }
  bool is_over(int64_t count, int64_t longest) const {
    return (limits_.max_sentences > 0 && count > limits_.max_sentences) ||
           is_too_many_tokens(count * longest);
  }
  bool is_size_permitted(int64_t count) const {
    const int64_t multiple = std::max<int64_t>(limits_.required_batch_size_multiple, 1);
    return count < multiple || count % multiple == 0;
  }

  // Batch and tail do not fit together: the batch is closed and the tail becomes the batch; if the newest
  // sample is too long for the tail, the tail without it is closed too.
  void start_new_batch(int64_t newest_size) {
    ends_.push_back(batch_end_);
    batch_begin_ = batch_end_;
    if (is_too_many_tokens(tail_longest_ * (position_ - batch_end_))) {
      ends_.push_back(position_ - 1);
      batch_begin_ = position_ - 1;
      tail_longest_ = newest_size;
    }
    take_tail(tail_longest_);
  }

  void take_tail(int64_t longest) {
    batch_end_ = position_;
    batch_longest_ = longest;
    tail_longest_ = 0;
  }

  const BatchLimits& limits_;
  std::vector<int64_t> ends_;
  int64_t position_ = 0;
  int64_t batch_begin_ = 0;
  int64_t batch_end_ = 0;
  int64_t batch_longest_ = 0;
  int64_t tail_longest_ = 0;
};

}  // namespace

std::span<const int64_t> BatchList::operator[](int64_t batch) const {
  QN_INVARIANT(batch >= 0 && batch < size());
  const auto b = static_cast<size_t>(batch);
  const int64_t begin = b == 0 ? 0 : ends[b - 1];
  return std::span(indices).subspan(static_cast<size_t>(begin), static_cast<size_t>(ends[b] - begin));
}

BatchList batch_by_size(std::span<const int64_t> indices, std::span<const int64_t> sizes,
                        const BatchLimits& limits) {
  Grouping grouping(limits);
  for (const int64_t index : indices) {
    const int64_t size = sizes[static_cast<size_t>(index)];
    QN_REQUIRE(limits.max_tokens <= 0 || size <= limits.max_tokens, ErrorKind::kData, "sample ", index,
               " has ", size, " tokens, expected at most ", limits.max_tokens, " (", limits.max_tokens_option,
               ")");
    grouping.add(size);
  }
  return {{indices.begin(), indices.end()}, grouping.finish()};
}

std::vector<int64_t> random_permutation(int64_t count, uint64_t seed, int64_t epoch, const char* name) {
  std::vector<int64_t> permutation(static_cast<size_t>(count));
  std::iota(permutation.begin(), permutation.end(), int64_t{0});
  base::SequentialRandom random(seed + static_cast<uint64_t>(epoch), name);
  for (size_t i = permutation.size(); i > 1; --i) std::swap(permutation[i - 1], permutation[random.below(i)]);
  return permutation;
}

std::vector<int64_t> order_by_size(std::span<const int64_t> sizes, std::span<const int64_t> permutation) {
  QN_INVARIANT(sizes.size() == permutation.size());
  std::vector<int64_t> order(sizes.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) {
    const auto i = static_cast<size_t>(a);
    const auto j = static_cast<size_t>(b);
    return sizes[i] != sizes[j] ? sizes[i] < sizes[j] : permutation[i] < permutation[j];
  });
  return order;
}

FilteredIndices filter_by_size(std::span<const int64_t> indices, std::span<const int64_t> sizes,
                               int64_t max_size) {
  FilteredIndices filtered;
  for (const int64_t index : indices) {
    const bool fits = max_size <= 0 || sizes[static_cast<size_t>(index)] <= max_size;
    (fits ? filtered.kept : filtered.too_long).push_back(index);
  }
  return filtered;
}

std::vector<int64_t> epoch_batch_order(int64_t num_batches, bool shuffle, uint64_t seed, int64_t epoch) {
  if (shuffle) return random_permutation(num_batches, seed, epoch, "batches");
  std::vector<int64_t> order(static_cast<size_t>(num_batches));
  std::iota(order.begin(), order.end(), int64_t{0});
  return order;
}

std::vector<int64_t> shard_of(std::span<const int64_t> order, int num_shards, int shard) {
  QN_REQUIRE(num_shards >= 1 && shard >= 0 && shard < num_shards, ErrorKind::kConfig, "shard: found ", shard,
             " of ", num_shards, ", expected 0 to the number of shards - 1");
  std::vector<int64_t> mine;
  for (size_t begin = 0; begin < order.size(); begin += static_cast<size_t>(num_shards)) {
    const size_t position = begin + static_cast<size_t>(shard);
    mine.push_back(position < order.size() ? order[position] : kEmptyBatch);
  }
  return mine;
}

}  // namespace quantnoise::data
