// Affine codec: the noise pass, quantization and its kin beside a plain copy, one thread. Bytes are those
// read and written. Arguments: rows of 512 columns (512: 1 MB, in the
// cache; 16,384: 32 MB, from memory); axis −1 (tensor) or 0 (rows).
//
//   affine_bench [--benchmark_filter=noise]      QN_CPU=avx2 affine_bench: another set of kernels

#include <benchmark/benchmark.h>

#include <cstring>
#include <iostream>
#include <vector>

#include "quantnoise/base/parallel.h"
#include "quantnoise/base/random.h"
#include "quantnoise/codec/affine.h"
#include "quantnoise/codec/affine_noise.h"
#include "quantnoise/codec/observer.h"
#include "quantnoise/kernels/instruction_set.h"

namespace {

namespace base = quantnoise::base;
namespace codec = quantnoise::codec;

constexpr int64_t kCols = 512;

struct Weight {
  explicit Weight(int64_t rows, int axis = -1, int bits = 8) : shape{rows, kCols} {
    base::SequentialRandom random(1);
    values.resize(static_cast<size_t>(rows * kCols));
    // The sum of four uniform numbers: a bell.
    for (float& value : values) {
      value = random.uniform() + random.uniform() + random.uniform() + random.uniform() - 2;
    }
    const codec::Observer observer = axis < 0 ? codec::Observer::kTensor : codec::Observer::kChannel;
    grid = codec::observe_weight(values, shape, {observer, bits, false, 0}, base::SerialFor());
  }

  int64_t numel() const { return static_cast<int64_t>(values.size()); }

  std::vector<int64_t> shape;
  std::vector<float> values;
  codec::AffineGrid grid;
};

void report(benchmark::State& state, int64_t numel, int64_t bytes_per_element) {
  state.SetBytesProcessed(state.iterations() * numel * bytes_per_element);
  state.counters["time/element"] =
      benchmark::Counter(static_cast<double>(state.iterations() * numel),
                         benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

void copy_f32(benchmark::State& state) {
  const Weight weight(state.range(0));
  std::vector<float> out(weight.values.size());
  for (auto _ : state) {
    std::memcpy(out.data(), weight.values.data(), out.size() * sizeof(float));
    benchmark::ClobberMemory();
  }
  report(state, weight.numel(), 8);
}

template <typename Out>
void noise(benchmark::State& state) {
  const Weight weight(state.range(0), static_cast<int>(state.range(1)));
  std::vector<Out> out(weight.values.size());
  codec::AffineNoiseSpec spec;
  spec.probability = 0.5;
  for (auto _ : state) {
    ++spec.stream.update;
    codec::apply_affine_noise(spec, weight.grid, weight.values.data(), weight.shape, out.data(),
                              base::SerialFor());
    benchmark::ClobberMemory();
  }
  report(state, weight.numel(), 4 + sizeof(Out));
}

template <typename Out>
void fake_quantize(benchmark::State& state) {
  const Weight weight(state.range(0), static_cast<int>(state.range(1)));
  std::vector<Out> out(weight.values.size());
  for (auto _ : state) {
    codec::fake_quantize(weight.values, weight.shape, weight.grid, out, base::SerialFor());
    benchmark::ClobberMemory();
  }
  report(state, weight.numel(), 4 + sizeof(Out));
}

void quantize(benchmark::State& state) {
  const Weight weight(state.range(0), static_cast<int>(state.range(1)));
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        codec::quantize_affine(weight.values, weight.shape, weight.grid, base::SerialFor()));
  }
  report(state, weight.numel(), 5);
}

void dequantize(benchmark::State& state) {
  const Weight weight(state.range(0), static_cast<int>(state.range(1)));
  const std::vector<uint8_t> codes =
      codec::quantize_affine(weight.values, weight.shape, weight.grid, base::SerialFor());
  std::vector<float> out(weight.values.size());
  for (auto _ : state) {
    codec::dequantize_affine(codes, weight.shape, weight.grid, out, base::SerialFor());
    benchmark::ClobberMemory();
  }
  report(state, weight.numel(), 5);
}

void observe(benchmark::State& state, codec::Observer observer) {
  const Weight weight(state.range(0));
  const int bits = static_cast<int>(state.range(1));
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        codec::observe_weight(weight.values, weight.shape, {observer, bits, false, 0}, base::SerialFor()));
  }
  report(state, weight.numel(), 4);
}

void running_histogram(benchmark::State& state) {
  const Weight weight(state.range(0));
  codec::RunningObserver observer(codec::Observer::kHistogram);
  for (auto _ : state) observer.observe(weight.values, base::SerialFor());
  report(state, weight.numel(), 4);
}

const std::vector<std::vector<int64_t>> kSizesAndAxes = {{512, 16384}, {-1, 0}};

BENCHMARK(copy_f32)->Arg(512)->Arg(16384);
BENCHMARK_TEMPLATE(noise, float)->ArgsProduct(kSizesAndAxes);
BENCHMARK_TEMPLATE(noise, uint16_t)->ArgsProduct(kSizesAndAxes);
BENCHMARK_TEMPLATE(fake_quantize, float)->ArgsProduct(kSizesAndAxes);
BENCHMARK_TEMPLATE(fake_quantize, uint16_t)->ArgsProduct(kSizesAndAxes);
BENCHMARK(quantize)->ArgsProduct(kSizesAndAxes);
BENCHMARK(dequantize)->ArgsProduct(kSizesAndAxes);
BENCHMARK_CAPTURE(observe, tensor, codec::Observer::kTensor)->Args({2048, 8});
BENCHMARK_CAPTURE(observe, histogram, codec::Observer::kHistogram)->Args({2048, 4})->Args({2048, 8});
BENCHMARK_CAPTURE(observe, channel, codec::Observer::kChannel)->Args({2048, 8});
BENCHMARK_CAPTURE(observe, channel_l2, codec::Observer::kChannelL2)->Args({2048, 4})->Args({2048, 8});
BENCHMARK(running_histogram)->Arg(2048);

}  // namespace

int main(int argc, char** argv) {
  std::cout << quantnoise::kernels::cpu_description() << "\n";
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
