#include "quantnoise/quant/context.h"

#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <mutex>
#include <set>
#include <thread>

#include "quantnoise/base/error.h"

namespace quantnoise::quant {
namespace {

class TwoThreads {
 public:
  TwoThreads() : former_(at::get_num_threads()) { at::set_num_threads(2); }
  ~TwoThreads() { at::set_num_threads(former_); }

 private:
  int former_;
};

TEST(TorchParallelFor, HasTwoWorkers) {
  const TwoThreads guard;
  std::mutex mutex;
  std::set<std::thread::id> threads;
  std::atomic<int> arrived{0};
  torch_parallel_for()(2, 1, [&](int64_t, int64_t) {
    ++arrived;
    // Both bodies are inside at once, or this runs into the limit.
    for (int i = 0; i < 1000 && arrived < 2; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    const std::lock_guard<std::mutex> lock(mutex);
    threads.insert(std::this_thread::get_id());
  });
  EXPECT_EQ(threads.size(), 2u);
  EXPECT_EQ(torch_parallel_for().num_threads(), 2);
}

TEST(TorchParallelFor, OneOpenMpIsMapped) {
  torch_parallel_for()(2, 1, [](int64_t, int64_t) {});
  std::ifstream maps("/proc/self/maps");
  std::set<std::string> libraries;
  for (std::string line; std::getline(maps, line);) {
    if (line.find("libgomp") != std::string::npos || line.find("libiomp") != std::string::npos) {
      libraries.insert(line.substr(line.rfind(' ') + 1));
    }
  }
  EXPECT_EQ(libraries.size(), 1u) << ::testing::PrintToString(libraries);
}

TEST(TorchParallelFor, CutsChunksOfTheGrain) {
  std::mutex mutex;
  std::set<std::pair<int64_t, int64_t>> chunks;
  torch_parallel_for()(10, 4, [&](int64_t begin, int64_t end) {
    const std::lock_guard<std::mutex> lock(mutex);
    chunks.emplace(begin, end);
  });
  EXPECT_EQ(chunks, (std::set<std::pair<int64_t, int64_t>>{{0, 4}, {4, 8}, {8, 10}}));
}

TEST(TorchParallelFor, RethrowsTheErrorOfABody) {
  EXPECT_THROW(torch_parallel_for()(
                   8, 1, [](int64_t begin, int64_t) { QN_REQUIRE(begin != 5, ErrorKind::kNumeric, "five"); }),
               Error);
}

TEST(ComputeType, GuardRestores) {
  {
    const ComputeTypeGuard guard(at::kBFloat16);
    EXPECT_EQ(compute_type(), at::kBFloat16);
  }
  EXPECT_EQ(compute_type(), at::kFloat);
  EXPECT_THROW(set_compute_type(at::kInt), Error);
}

}  // namespace
}  // namespace quantnoise::quant
