#include "quantnoise/base/parallel.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "quantnoise/base/checked.h"

namespace quantnoise::base {

void SerialFor::operator()(int64_t count, int64_t grain, const Body& body) const {
  QN_INVARIANT(grain > 0);
  for (int64_t begin = 0; begin < count; begin += grain) body(begin, std::min(begin + grain, count));
}

namespace {

// One call of the pool: chunks are taken from a counter by whichever thread is free.
struct Job {
  const ParallelFor::Body* body = nullptr;
  int64_t count = 0;
  int64_t grain = 1;
  std::atomic<int64_t> next_chunk{0};
  std::atomic<bool> failed{false};
  std::exception_ptr error;
  std::mutex error_mutex;

  void work() {
    const int64_t num_chunks = ceil_div(count, grain);
    while (!failed.load(std::memory_order_relaxed)) {
      const int64_t chunk = next_chunk.fetch_add(1, std::memory_order_relaxed);
      if (chunk >= num_chunks) return;
      try {
        (*body)(chunk * grain, std::min((chunk + 1) * grain, count));
      } catch (...) {
        std::lock_guard<std::mutex> lock(error_mutex);
        if (!error) error = std::current_exception();
        failed = true;
      }
    }
  }
};

}  // namespace

struct ThreadPool::State {
  std::vector<std::thread> threads;
  std::mutex mutex;
  std::condition_variable wake;
  std::condition_variable done;
  Job* job = nullptr;
  uint64_t generation = 0;
  int running = 0;
  bool stopping = false;

  void thread_main() {
    uint64_t seen = 0;
    std::unique_lock<std::mutex> lock(mutex);
    while (true) {
      wake.wait(lock, [&] { return stopping || generation != seen; });
      if (stopping) return;
      seen = generation;
      Job* current = job;
      lock.unlock();
      current->work();
      lock.lock();
      if (--running == 0) done.notify_one();
    }
  }
};

ThreadPool::ThreadPool(int num_threads) : state_(std::make_unique<State>()) {
  QN_REQUIRE(num_threads >= 1, ErrorKind::kUsage, "number of threads: found ", num_threads,
             ", expected at least 1");
  for (int i = 1; i < num_threads; ++i) {
    state_->threads.emplace_back([state = state_.get()] { state->thread_main(); });
  }
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard<std::mutex> lock(state_->mutex);
    state_->stopping = true;
  }
  state_->wake.notify_all();
  for (std::thread& thread : state_->threads) thread.join();
}

int ThreadPool::num_threads() const { return static_cast<int>(state_->threads.size()) + 1; }

void ThreadPool::operator()(int64_t count, int64_t grain, const Body& body) const {
  QN_INVARIANT(grain > 0);
  if (count <= 0) return;
  if (state_->threads.empty() || count <= grain) return SerialFor()(count, grain, body);
  Job job;
  job.body = &body;
  job.count = count;
  job.grain = grain;
  {
    std::lock_guard<std::mutex> lock(state_->mutex);
    state_->job = &job;
    state_->running = static_cast<int>(state_->threads.size());
    ++state_->generation;
  }
  state_->wake.notify_all();
  job.work();
  {
    std::unique_lock<std::mutex> lock(state_->mutex);
    state_->done.wait(lock, [&] { return state_->running == 0; });
    state_->job = nullptr;
  }
  if (job.error) std::rethrow_exception(job.error);
}

}  // namespace quantnoise::base
