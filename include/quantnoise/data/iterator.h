#pragma once
// Batches of one epoch after the other, prepared ahead by a thread, resumable at any batch.

#include <cstdint>
#include <memory>
#include <optional>

#include "quantnoise/data/batching.h"
#include "quantnoise/data/dataset.h"

namespace quantnoise::data {

enum class SampleOrder {
  kBySize,      ///< by size, ties shuffled by the seed (fairseq's order for language models)
  kSequential,  ///< as in the data
};

struct IteratorOptions {
  BatchLimits limits;
  int64_t max_positions = 0;  ///< longer samples: see skip_too_long; ≤ 0: no limit
  bool skip_too_long = true;  ///< leave them out with a warning (training) or refuse (validation and test)
  SampleOrder order = SampleOrder::kBySize;
  bool shuffle = true;     ///< shuffle the batches anew each epoch
  int64_t curriculum = 0;  ///< no shuffling in the first epochs up to this one
  uint64_t seed = 1;
  int num_shards = 1;
  int shard = 0;
  int num_workers = 1;  ///< 0: batches are made in the calling thread; else one thread prepares them
  int64_t data_buffer_size = 10;  ///< batches prepared ahead
};

/// Where an iterator stands. Plain numbers, for checkpoints.
struct IteratorState {
  int64_t epoch = 1;
  int64_t position = 0;       ///< batches of this epoch already given out
  int64_t num_batches = 0;    ///< batches an epoch; checked by restore()
  uint64_t batches_hash = 0;  ///< of the composition of all batches; checked by restore()
};

/// The batches an iterator with these options makes: order, filter, grouping. The permutation among samples
/// of equal size is drawn once, from seed + 1, so that a resumed run sees the same batches. Errors: kData
/// when nothing is left or a sample is too long (named, with both sizes).
BatchList make_batches(const BatchDataset& dataset, const IteratorOptions& options);

///   do {
///     while (auto batch = iterator.next()) { … }
///   } while (iterator.epoch() < max_epoch && (iterator.next_epoch(), true));
class EpochIterator {
 public:
  EpochIterator(std::shared_ptr<const BatchDataset> dataset, const IteratorOptions& options);
  /// With batches made elsewhere.
  EpochIterator(std::shared_ptr<const BatchDataset> dataset, BatchList batches,
                const IteratorOptions& options);
  ~EpochIterator();
  EpochIterator(EpochIterator&&) noexcept;
  EpochIterator& operator=(EpochIterator&&) noexcept;

  /// The next batch of this epoch; nothing at its end. An exception met while a batch was prepared is thrown
  /// here, when its turn comes.
  std::optional<Batch> next();
  /// Epochs count from 1.
  int64_t epoch() const;
  /// Batches of this epoch already given out (what is prepared ahead does not count).
  int64_t position() const;
  /// Batches an epoch in this shard.
  int64_t num_batches() const;
  int64_t num_remaining() const { return num_batches() - position(); }
  bool end_of_epoch() const { return num_remaining() == 0; }
  /// Goes to the start of the next epoch.
  void next_epoch();
  /// Goes anywhere.
  void seek(int64_t epoch, int64_t position);

  IteratorState state() const;
  /// Errors: kData when a state within an epoch belongs to other data, limits, seed or shards. A state at the
  /// start or the end of an epoch fits any data.
  void restore(const IteratorState& state);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace quantnoise::data
