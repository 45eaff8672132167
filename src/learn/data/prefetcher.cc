#include "learn/data/prefetcher.h"

#include <algorithm>
#include <utility>

#include "quantnoise/base/error.h"

namespace quantnoise::data {

Batch make_batch(const BatchDataset& dataset, const BatchList& batches, int64_t number) {
  return number == kEmptyBatch ? Batch{} : dataset.collate(batches[number]);
}

Prefetcher::Prefetcher(const BatchDataset& dataset, const BatchList& batches, std::span<const int64_t> order,
                       int64_t capacity)
    : dataset_(dataset),
      batches_(batches),
      order_(order),
      capacity_(static_cast<size_t>(std::max<int64_t>(capacity, 1))),
      thread_([this] { run(); }) {}

Prefetcher::~Prefetcher() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Prefetcher::run() {
  try {
    for (const int64_t number : order_) {
      if (!put(make_batch(dataset_, batches_, number))) return;
    }
  } catch (...) {
    std::lock_guard<std::mutex> lock(mutex_);
    error_ = std::current_exception();
    changed_.notify_all();
  }
}

// False when the thread has to stop.
bool Prefetcher::put(Batch batch) {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [&] { return stopping_ || ready_.size() < capacity_; });
  if (stopping_) return false;
  ready_.push_back(std::move(batch));
  changed_.notify_all();
  return true;
}

Batch Prefetcher::next() {
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [&] { return !ready_.empty() || error_ != nullptr; });
  if (ready_.empty()) std::rethrow_exception(error_);
  Batch batch = std::move(ready_.front());
  ready_.pop_front();
  changed_.notify_all();
  return batch;
}

}  // namespace quantnoise::data
