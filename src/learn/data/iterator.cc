#include "quantnoise/data/iterator.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "learn/data/prefetcher.h"
#include "quantnoise/base/error.h"
#include "quantnoise/base/log.h"
#include "quantnoise/base/random.h"

namespace quantnoise::data {

namespace {

// The permutation belongs to this epoch whatever epoch a run is resumed in.
constexpr int64_t kFirstEpoch = 1;
constexpr size_t kNumNamedSamples = 10;

std::vector<int64_t> sample_order(const BatchDataset& dataset, const IteratorOptions& options) {
  if (options.order == SampleOrder::kSequential) {
    std::vector<int64_t> order(static_cast<size_t>(dataset.size()));
    std::iota(order.begin(), order.end(), int64_t{0});
    return order;
  }
  return order_by_size(dataset.sizes(),
                       random_permutation(dataset.size(), options.seed, kFirstEpoch, "samples"));
}

void handle_too_long(const BatchDataset& dataset, const IteratorOptions& options,
                     std::vector<int64_t> too_long) {
  if (too_long.empty()) return;
  const int64_t first = too_long.front();
  if (!options.skip_too_long) {
    throw Error(ErrorKind::kData,
                str_cat("sample ", first, " has ", dataset.sizes()[static_cast<size_t>(first)],
                        " tokens, expected at most ", options.max_positions, " (", too_long.size(),
                        " samples are too long)"),
                "skip such samples with --skip-invalid-size-inputs-valid-test");
  }
  const size_t num_samples = too_long.size();
  too_long.resize(std::min(num_samples, kNumNamedSamples));
  base::log(base::LogLevel::kWarning, str_cat(num_samples, " samples are longer than ", options.max_positions,
                                              " tokens and are skipped; the first: ", join(too_long, ", ")));
}

uint64_t hash_batches(const BatchList& batches, const IteratorOptions& options) {
  uint64_t hash = base::mix64(options.seed) ^ static_cast<uint64_t>(options.num_shards);
  for (const int64_t index : batches.indices) hash = base::mix64(hash ^ static_cast<uint64_t>(index));
  for (const int64_t end : batches.ends) hash = base::mix64(hash ^ static_cast<uint64_t>(end));
  return hash;
}

// Names the order of an epoch's batches, too.
uint64_t hash_epoch(uint64_t batches_hash, bool shuffled) {
  return shuffled ? batches_hash : base::mix64(batches_hash ^ 1);
}

}  // namespace

BatchList make_batches(const BatchDataset& dataset, const IteratorOptions& options) {
  FilteredIndices samples =
      filter_by_size(sample_order(dataset, options), dataset.sizes(), options.max_positions);
  handle_too_long(dataset, options, std::move(samples.too_long));
  QN_REQUIRE(!samples.kept.empty(), ErrorKind::kData, "no samples: found ", dataset.size(),
             " in the data and none that may be used");
  return batch_by_size(samples.kept, dataset.sizes(), options.limits);
}

struct EpochIterator::Impl {
  std::shared_ptr<const BatchDataset> dataset;
  BatchList batches;
  IteratorOptions options;
  uint64_t batches_hash = 0;
  int64_t epoch = kFirstEpoch;
  int64_t position = 0;
  std::vector<int64_t> order;  // of this shard in this epoch
  std::unique_ptr<Prefetcher> prefetcher;

  int64_t num_batches() const { return static_cast<int64_t>(order.size()); }
  bool is_shuffled(int64_t in_epoch) const { return options.shuffle && in_epoch > options.curriculum; }

  void seek(int64_t new_epoch, int64_t new_position) {
    prefetcher.reset();
    order = shard_of(epoch_batch_order(batches.size(), is_shuffled(new_epoch), options.seed, new_epoch),
                     options.num_shards, options.shard);
    QN_REQUIRE(new_epoch >= kFirstEpoch && new_position >= 0 && new_position <= num_batches(),
               ErrorKind::kData, "cannot go to batch ", new_position, " of epoch ", new_epoch, ": found ",
               num_batches(), " batches an epoch");
    epoch = new_epoch;
    position = new_position;
  }

  Batch take() {
    if (options.num_workers == 0) return make_batch(*dataset, batches, order[static_cast<size_t>(position)]);
    if (!prefetcher) {
      const auto rest = std::span<const int64_t>(order).subspan(static_cast<size_t>(position));
      prefetcher = std::make_unique<Prefetcher>(*dataset, batches, rest, options.data_buffer_size);
    }
    return prefetcher->next();
  }
};

EpochIterator::EpochIterator(std::shared_ptr<const BatchDataset> dataset, const IteratorOptions& options)
    : EpochIterator(dataset, make_batches(*dataset, options), options) {}

EpochIterator::EpochIterator(std::shared_ptr<const BatchDataset> dataset, BatchList batches,
                             const IteratorOptions& options)
    : impl_(std::make_unique<Impl>()) {
  impl_->dataset = std::move(dataset);
  impl_->batches = std::move(batches);
  impl_->options = options;
  impl_->batches_hash = hash_batches(impl_->batches, options);
  impl_->seek(kFirstEpoch, 0);
}

EpochIterator::~EpochIterator() = default;
EpochIterator::EpochIterator(EpochIterator&&) noexcept = default;
EpochIterator& EpochIterator::operator=(EpochIterator&&) noexcept = default;

std::optional<Batch> EpochIterator::next() {
  if (end_of_epoch()) return std::nullopt;
  Batch batch = impl_->take();
  ++impl_->position;
  return batch;
}

int64_t EpochIterator::epoch() const { return impl_->epoch; }
int64_t EpochIterator::position() const { return impl_->position; }
int64_t EpochIterator::num_batches() const { return impl_->num_batches(); }
void EpochIterator::next_epoch() { impl_->seek(impl_->epoch + 1, 0); }
void EpochIterator::seek(int64_t epoch, int64_t position) { impl_->seek(epoch, position); }

IteratorState EpochIterator::state() const {
  return {impl_->epoch, impl_->position, impl_->num_batches(),
          hash_epoch(impl_->batches_hash, impl_->is_shuffled(impl_->epoch))};
}

void EpochIterator::restore(const IteratorState& state) {
  // Between epochs the next one begins afresh, so other data or limits do no harm.
  if (state.position == 0) return seek(state.epoch, 0);
  if (state.position == state.num_batches) return seek(state.epoch, num_batches());
  if (state.num_batches != num_batches() ||
      state.batches_hash != hash_epoch(impl_->batches_hash, impl_->is_shuffled(state.epoch))) {
    throw Error(
        ErrorKind::kData,
        str_cat("cannot go on at batch ", state.position, " of ", state.num_batches, " in epoch ",
                state.epoch,
                ": the data, the batch limits, the seed, --curriculum or the number of shards are not "
                "those of the saved run (now ",
                num_batches(), " batches an epoch)"),
        "start the epoch afresh with --reset-dataloader");
  }
  seek(state.epoch, state.position);
}

}  // namespace quantnoise::data
