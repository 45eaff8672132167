#pragma once
// How loops get their threads: kernels and codecs take a ParallelFor and start none themselves, so that
// training (at::parallel_for) and the runtime (ThreadPool) each use one pool.

#include <cstdint>
#include <functional>
#include <memory>

namespace quantnoise::base {

/// Splits [0, count) into chunks of `grain` (the last may be shorter) and calls body(begin, end) once for
/// each. The chunks are the same for every thread count: reductions that store one partial result a chunk and
/// combine them in chunk order do not depend on the number of threads. The first exception of a body is
/// rethrown to the caller after all threads have stopped.
class ParallelFor {
 public:
  using Body = std::function<void(int64_t begin, int64_t end)>;

  virtual ~ParallelFor() = default;
  virtual void operator()(int64_t count, int64_t grain, const Body& body) const = 0;
  virtual int num_threads() const = 0;
};

/// Runs the chunks one after the other in the calling thread.
class SerialFor : public ParallelFor {
 public:
  void operator()(int64_t count, int64_t grain, const Body& body) const override;
  int num_threads() const override { return 1; }
};

/// A fixed set of threads. The calling thread works too, so `num_threads` = 1 starts none.
/// One caller at a time; a body must not call the pool again.
class ThreadPool : public ParallelFor {
 public:
  explicit ThreadPool(int num_threads);
  ~ThreadPool() override;
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  void operator()(int64_t count, int64_t grain, const Body& body) const override;
  int num_threads() const override;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// Processors that this process may run on.
int default_num_threads();

}  // namespace quantnoise::base
