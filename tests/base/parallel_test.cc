#include "quantnoise/base/parallel.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <iostream>
#include <mutex>
#include <numeric>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "quantnoise/base/error.h"

namespace quantnoise::base {
namespace {

class ThreadPoolTest : public ::testing::TestWithParam<int> {};

TEST_P(ThreadPoolTest, EveryChunkRunsOnceAndIsTheSameForAllThreadCounts) {
  const ThreadPool pool(GetParam());
  EXPECT_EQ(pool.num_threads(), GetParam());
  for (const int64_t count : {0, 1, 7, 8, 9, 1000, 1001}) {
    std::mutex mutex;
    std::multiset<std::pair<int64_t, int64_t>> chunks;
    pool(count, 8, [&](int64_t begin, int64_t end) {
      const std::lock_guard<std::mutex> lock(mutex);
      chunks.emplace(begin, end);
    });
    std::multiset<std::pair<int64_t, int64_t>> expected;
    SerialFor()(count, 8, [&](int64_t begin, int64_t end) { expected.emplace(begin, end); });
    EXPECT_EQ(chunks, expected) << count;
  }
}

TEST_P(ThreadPoolTest, ManyCallsInARow) {
  const ThreadPool pool(GetParam());
  for (int call = 0; call < 2000; ++call) {
    std::atomic<int64_t> sum{0};
    pool(16, 1, [&](int64_t begin, int64_t end) { sum += begin; });
    ASSERT_EQ(sum, 120);
  }
}

TEST_P(ThreadPoolTest, ExceptionReachesTheCallerAndThePoolLivesOn) {
  const ThreadPool pool(GetParam());
  for (int round = 0; round < 50; ++round) {
    try {
      pool(100, 1, [&](int64_t begin, int64_t end) {
        QN_REQUIRE(begin != 37, ErrorKind::kNumeric, "chunk ", begin);
      });
      FAIL();
    } catch (const Error& error) {
      EXPECT_STREQ(error.what(), "chunk 37");
    }
    std::atomic<int> calls{0};
    pool(100, 1, [&](int64_t begin, int64_t end) { ++calls; });
    EXPECT_EQ(calls, 100);
  }
}

TEST_P(ThreadPoolTest, PartialSumsInChunkOrderDoNotDependOnThreads) {
  std::vector<float> values(10007);
  for (size_t i = 0; i < values.size(); ++i) values[i] = 1.0f / static_cast<float>(i + 1);
  const auto sum = [&](const ParallelFor& parallel_for) {
    std::vector<float> partial((values.size() + 63) / 64);
    parallel_for(static_cast<int64_t>(values.size()), 64, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) partial[begin / 64] += values[i];
    });
    return std::accumulate(partial.begin(), partial.end(), 0.0f);
  };
  EXPECT_EQ(sum(ThreadPool(GetParam())), sum(SerialFor()));
}

INSTANTIATE_TEST_SUITE_P(Threads, ThreadPoolTest, ::testing::Values(1, 2, 8));

TEST(ThreadPool, WorkIsDoneByMoreThanOneThread) {
  const ThreadPool pool(2);
  std::mutex mutex;
  std::set<std::thread::id> threads;
  std::atomic<int> arrived{0};
  // Both chunks wait for each other, which only two threads can do.
  pool(2, 1, [&](int64_t begin, int64_t end) {
    ++arrived;
    while (arrived < 2) std::this_thread::yield();
    const std::lock_guard<std::mutex> lock(mutex);
    threads.insert(std::this_thread::get_id());
  });
  EXPECT_EQ(threads.size(), 2u);
}

// The limit is the address space, which sanitizers need for themselves; qemu-user (ARM) does not pass it on.
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST(ThreadPool, SaysSoWhereTheSystemGivesFewerThreads) {
  const auto try_many = [] {
    const rlimit small{size_t{1} << 30, size_t{1} << 30};
    if (::setrlimit(RLIMIT_AS, &small) != 0) _exit(2);
    try {
      const ThreadPool pool(1024);
    } catch (const Error& error) {
      std::cerr << error.what();
      _exit(0);
    }
    _exit(1);
  };
  EXPECT_EXIT(try_many(), ::testing::ExitedWithCode(0), "threads: the system gave [0-9]+, expected 1024");
}
#endif

TEST(ThreadPool, RefusesNoThreads) { EXPECT_THROW(ThreadPool(0), Error); }

}  // namespace
}  // namespace quantnoise::base
