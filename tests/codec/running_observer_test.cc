// Observers of activations that pass by in batches.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "quantnoise/base/error.h"
#include "quantnoise/codec/half.h"
#include "quantnoise/codec/observer.h"
#include "sample_weights.h"

namespace quantnoise::codec {
namespace {

using test::distribution;
using test::gaussian;
using test::kDistributions;
using ::testing::HasSubstr;

const base::SerialFor kSerial;

double error_of(const std::vector<float>& x, const AffineGrid& grid) {
  return affine_squared_error(x, {{static_cast<int64_t>(x.size())}}, grid, kSerial);
}

// Batches whose ranges grow, shrink and change sign.
std::vector<std::vector<float>> batches() {
  std::vector<std::vector<float>> result;
  result.push_back(std::vector<float>(10, 0.0f));
  result.push_back({1e-42f, -1e-42f});
  for (uint64_t i = 0; i < 12; ++i) {
    result.push_back(gaussian(300 + 100 * i, i + 1, std::pow(3.0, static_cast<double>(i * 7 % 12) - 8)));
    if (i % 3 == 1) {
      for (float& value : result.back()) value = std::abs(value);
    }
  }
  return result;
}

ObserverState state_after(Observer observer, const std::vector<std::vector<float>>& data) {
  RunningObserver running(observer);
  for (const std::vector<float>& batch : data) running.observe(batch, kSerial);
  return running.state();
}

void expect_equal(const ObserverState& a, const ObserverState& b) {
  EXPECT_EQ(a.observer, b.observer);
  EXPECT_EQ(a.num_values, b.num_values);
  EXPECT_EQ(a.min, b.min);
  EXPECT_EQ(a.max, b.max);
  EXPECT_EQ(a.bin_exponent, b.bin_exponent);
  EXPECT_EQ(a.first_bin, b.first_bin);
  EXPECT_EQ(a.counts, b.counts);
}

TEST(RunningObserver, NeitherOrderNorSizeOfBatchesMatters) {
  std::vector<std::vector<float>> data = batches();
  std::vector<float> all;
  for (const std::vector<float>& batch : data) all.insert(all.end(), batch.begin(), batch.end());
  for (const Observer observer : {Observer::kTensor, Observer::kHistogram}) {
    const ObserverState at_once = state_after(observer, {all});
    base::SequentialRandom random(1);
    for (int shuffle = 0; shuffle < 10; ++shuffle) {
      expect_equal(state_after(observer, data), at_once);
      for (size_t i = data.size(); i > 1; --i) std::swap(data[i - 1], data[random.below(i)]);
    }
    RunningObserver threaded(observer);
    threaded.observe(all, base::ThreadPool(3));
    expect_equal(threaded.state(), at_once);
  }
}

TEST(RunningObserver, CountsEveryValueInItsBin) {
  const std::vector<std::vector<float>> data = batches();
  const ObserverState state = state_after(Observer::kHistogram, data);
  ASSERT_EQ(state.counts.size(), 2048u);
  std::vector<int64_t> expected(2048);
  int64_t last = 0;
  for (const std::vector<float>& batch : data) {
    for (const float value : batch) {
      const double bin = std::floor(std::ldexp(double{value}, -state.bin_exponent));
      last = std::max(last, static_cast<int64_t>(bin) - state.first_bin);
      ++expected.at(static_cast<size_t>(static_cast<int64_t>(bin) - state.first_bin));
    }
  }
  EXPECT_EQ(state.counts, expected);
  EXPECT_GE(last, 1024);  // as fine as 2,048 bins allow
}

TEST(RunningObserver, TheTensorsGridIsThatOfAllValues) {
  const std::vector<std::vector<float>> data = {{1, 2, 3}, {-0.5f}, {2.5f}};
  RunningObserver running(Observer::kTensor);
  for (const std::vector<float>& batch : data) running.observe(batch, kSerial);
  const AffineGrid grid = running.grid(4, false);
  EXPECT_EQ(grid.scales[0], 3.5f / 15);
  EXPECT_EQ(grid.zero_points[0], 2);
  EXPECT_EQ(running.grid(4, true).scales[0], 3.0f / 7.5f);
}

// The bins are nearly as good as the data, of which they know the place to the width of a bin.
TEST(RunningObserver, TheHistogramsGridIsNearlyThatOfTheData) {
  for (int kind = 0; kind < kDistributions; ++kind) {
    const std::vector<float> x = distribution(kind, 20000, 9);
    RunningObserver running(Observer::kHistogram);
    for (size_t i = 0; i < x.size(); i += 1000) {
      running.observe(std::span(x).subspan(i, 1000), kSerial);
    }
    for (const int bits : {2, 4, 8}) {
      for (const bool symmetric : {false, true}) {
        const double best =
            error_of(x, observe_weight(x, {{20000}}, {Observer::kHistogram, bits, symmetric}, kSerial));
        const double width = std::ldexp(1.0, running.state().bin_exponent);
        EXPECT_LE(error_of(x, running.grid(bits, symmetric)), best * 1.01 + 20000 * width * width / 12)
            << "kind " << kind << ", " << bits << " bits";
      }
    }
  }
}

TEST(RunningObserver, HalfPrecisionValues) {
  const std::vector<float> x = gaussian(1000, 3);
  std::vector<uint16_t> halves;
  std::vector<float> widened;
  for (const float value : x) {
    halves.push_back(float_to_bf16(value));
    widened.push_back(bf16_to_float(halves.back()));
  }
  RunningObserver a(Observer::kHistogram), b(Observer::kHistogram);
  a.observe(halves, kSerial);
  b.observe(widened, kSerial);
  expect_equal(a.state(), b.state());
}

TEST(RunningObserver, GoesOnFromAState) {
  const std::vector<std::vector<float>> data = batches();
  for (const Observer observer : {Observer::kTensor, Observer::kHistogram}) {
    for (size_t cut = 0; cut <= data.size(); ++cut) {
      const auto middle = data.begin() + static_cast<int64_t>(cut);
      RunningObserver resumed(state_after(observer, {data.begin(), middle}));
      for (size_t i = cut; i < data.size(); ++i) resumed.observe(data[i], kSerial);
      expect_equal(resumed.state(), state_after(observer, data));
    }
  }
}

TEST(RunningObserver, NothingObserved) {
  for (const Observer observer : {Observer::kTensor, Observer::kHistogram}) {
    RunningObserver running(observer);
    running.observe(std::vector<float>{}, kSerial);
    EXPECT_TRUE(running.empty());
    try {
      running.grid(8, false);
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kData);
      EXPECT_THAT(error.what(), HasSubstr("no values have been observed"));
    }
    running.observe(std::vector<float>{0, 0}, kSerial);
    EXPECT_EQ(running.grid(8, false).scales[0], 1.0f);
  }
}

TEST(RunningObserver, ABatchThatIsNotFiniteIsRefusedWhole) {
  for (const Observer observer : {Observer::kTensor, Observer::kHistogram}) {
    RunningObserver running(observer);
    running.observe(gaussian(100, 1), kSerial);
    const ObserverState before = running.state();
    for (const float bad : {NAN, INFINITY, -INFINITY}) {
      std::vector<float> batch(50, 1000.0f);
      batch[33] = bad;
      try {
        running.observe(batch, kSerial);
        FAIL();
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kNumeric);
        EXPECT_THAT(error.what(), HasSubstr("element 33: found"));
      }
      expect_equal(running.state(), before);
    }
  }
}

TEST(RunningObserver, ChannelsAreRefused) {
  EXPECT_THROW(RunningObserver{Observer::kChannel}, Error);
  EXPECT_THROW(RunningObserver{Observer::kChannelL2}, Error);
}

TEST(RunningObserver, StatesThatContradictThemselvesAreRefused) {
  const auto message_after = [](const auto& spoil, Observer observer = Observer::kHistogram) {
    ObserverState state = state_after(observer, {gaussian(500, 2)});
    spoil(state);
    try {
      RunningObserver running(state);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kFormat);
      return std::string(error.what());
    }
    return std::string("no error");
  };
  using State = ObserverState;
  EXPECT_EQ(message_after([](State&) {}), "no error");
  EXPECT_THAT(message_after([](State& s) { s.observer = Observer::kChannel; }), HasSubstr("found channel"));
  EXPECT_THAT(message_after([](State& s) { s.min = 0.1f; }), HasSubstr("range"));
  EXPECT_THAT(message_after([](State& s) { s.max = NAN; }), HasSubstr("range"));
  EXPECT_THAT(message_after([](State& s) { s.num_values = -1; }), HasSubstr("found -1 values"));
  EXPECT_THAT(message_after([](State& s) { s.num_values = 501; }), HasSubstr("the counts sum to 500"));
  EXPECT_THAT(message_after([](State& s) { s.num_values = 0; }), HasSubstr("found 2048 bins, expected none"));
  EXPECT_THAT(message_after([](State& s) { s.counts.pop_back(); }), HasSubstr("found 2047 bins"));
  EXPECT_THAT(message_after([](State& s) { s.counts[2047] = 1; }), HasSubstr("bin 2047: found a count of 1"));
  EXPECT_THAT(message_after([](State& s) { s.counts[5] = -1; }), HasSubstr("bin 5: found a count of -1"));
  EXPECT_THAT(message_after([](State& s) { s.bin_exponent = 500; }), HasSubstr("bins of width 2^500"));
  EXPECT_THAT(message_after([](State& s) { s.bin_exponent -= 2; }), HasSubstr("do not cover"));
  EXPECT_THAT(message_after([](State& s) { s.first_bin += 1; }), HasSubstr("do not cover"));
  EXPECT_THAT(message_after([](State& s) { s.counts.resize(2048); }, Observer::kTensor),
              HasSubstr("expected none"));
}

}  // namespace
}  // namespace quantnoise::codec
