#pragma once
// A thread that prepares the batches to come.

#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <span>
#include <thread>

#include "quantnoise/data/batching.h"
#include "quantnoise/data/dataset.h"

namespace quantnoise::data {

/// The batch of this number; kEmptyBatch gives the empty one.
Batch make_batch(const BatchDataset& dataset, const BatchList& batches, int64_t number);

class Prefetcher {
 public:
  /// Prepares the batches `order` names, in order, at most `capacity` ahead. The arguments must outlive this
  /// object.
  Prefetcher(const BatchDataset& dataset, const BatchList& batches, std::span<const int64_t> order,
             int64_t capacity);
  /// Stops the thread after the batch it is working on.
  ~Prefetcher();
  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  /// Waits for the next batch; to be called at most once for each element of `order`. Rethrows what making it
  /// threw, every time from then on.
  Batch next();

 private:
  void run();
  bool put(Batch batch);

  const BatchDataset& dataset_;
  const BatchList& batches_;
  std::span<const int64_t> order_;
  size_t capacity_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Batch> ready_;
  std::exception_ptr error_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace quantnoise::data
