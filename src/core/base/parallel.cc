#include "quantnoise/base/parallel.h"

#ifdef __linux__
#include <sched.h>
#endif

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

// Models call the pool hundreds of times for a token, with less than this between: who sleeps would come too
// late.
template <typename Condition>
void spin_until(const Condition& condition) {
  constexpr int kRounds = 2000;
  for (int i = 0; i < kRounds && !condition(); ++i) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }
}

}  // namespace

struct ThreadPool::State {
  std::vector<std::thread> threads;
  std::mutex mutex;
  std::condition_variable wake;
  std::condition_variable done;
  Job* job = nullptr;                   ///< null: there is nothing (more) to join
  std::atomic<uint64_t> generation{0};  ///< number of jobs so far
  std::atomic<int> active{0};           ///< threads that work on the job
  std::atomic<bool> stopping{false};

  void stop() {
    {
      std::lock_guard<std::mutex> lock(mutex);
      stopping = true;
    }
    wake.notify_all();
    for (std::thread& thread : threads) thread.join();
  }
  void thread_main() {
    uint64_t seen = 0;
    const auto has_news = [&] { return stopping || generation != seen; };
    while (true) {
      spin_until(has_news);
      std::unique_lock<std::mutex> lock(mutex);
      wake.wait(lock, has_news);
      if (stopping) return;
      seen = generation;
      Job* current = job;
      if (current == nullptr) continue;  // came too late
      ++active;
      lock.unlock();
      current->work();
      lock.lock();
      if (--active == 0) done.notify_one();
    }
  }
};

ThreadPool::ThreadPool(int num_threads) : state_(std::make_unique<State>()) {
  QN_REQUIRE(num_threads >= 1, ErrorKind::kUsage, "number of threads: found ", num_threads,
             ", expected at least 1");
  try {
    for (int i = 1; i < num_threads; ++i) {
      state_->threads.emplace_back([state = state_.get()] { state->thread_main(); });
    }
  } catch (const std::exception& error) {
    const size_t num_started = state_->threads.size() + 1;
    state_->stop();
    throw Error(ErrorKind::kFailed, str_cat("threads: the system gave ", num_started, ", expected ",
                                            num_threads, ": ", error.what()));
  }
}

ThreadPool::~ThreadPool() { state_->stop(); }

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
    ++state_->generation;
  }
  state_->wake.notify_all();
  job.work();
  // All chunks are taken: nobody joins any more, and only those that have one are waited for.
  std::unique_lock<std::mutex> lock(state_->mutex);
  state_->job = nullptr;
  lock.unlock();
  const auto is_done = [&] { return state_->active == 0; };
  spin_until(is_done);
  lock.lock();
  state_->done.wait(lock, is_done);
  lock.unlock();
  if (job.error) std::rethrow_exception(job.error);
}

int default_num_threads() {
#ifdef __linux__
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace quantnoise::base
