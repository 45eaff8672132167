// k-means of the product codec.
//
//   kmeans_bench                                   Google Benchmark: assignment, decoding, noise, centroid
//   gradient kmeans_bench --data FILE|gauss:SEED --blocks N --block-size D --centroids K --iterations I
//                --sample-iterations S --seed S --threads T --repeats R
//                                                  runs k-means R times and prints JSON {seconds: […],
//                                                  objective} FILE: N · D raw fp32 values

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "quantnoise/base/error.h"
#include "quantnoise/base/file.h"
#include "quantnoise/base/parallel.h"
#include "quantnoise/base/random.h"
#include "quantnoise/codec/noise.h"
#include "quantnoise/codec/product.h"
#include "quantnoise/kernels/instruction_set.h"

namespace {

namespace base = quantnoise::base;
namespace codec = quantnoise::codec;

std::vector<float> gaussian_values(int64_t count, uint64_t seed) {
  base::SequentialRandom random(seed, "gauss");
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) {
    const double radius = std::sqrt(-2 * std::log1p(-static_cast<double>(random.uniform())));
    value = static_cast<float>(radius * std::cos(6.283185307179586 * random.uniform()));
  }
  return values;
}

std::vector<float> load_values(const std::string& source, int64_t count) {
  if (source.rfind("gauss:", 0) == 0) return gaussian_values(count, std::stoull(source.substr(6)));
  const base::MappedFile file = base::MappedFile::open(source);
  QN_REQUIRE(file.bytes().size() == static_cast<size_t>(count) * sizeof(float), quantnoise::ErrorKind::kData,
             source, ": found ", file.bytes().size(), " bytes, expected ",
             static_cast<size_t>(count) * sizeof(float));
  std::vector<float> values(static_cast<size_t>(count));
  std::memcpy(values.data(), file.bytes().data(), file.bytes().size());
  return values;
}

int run_kmeans(std::map<std::string, std::string> options) {
  const auto number = [&](const char* name, int64_t otherwise) {
    return options.count(name) ? std::stoll(options[name]) : otherwise;
  };
  const int64_t num_blocks = number("--blocks", 524288);
  const int block_size = static_cast<int>(number("--block-size", 8));
  const std::vector<float> values = load_values(options["--data"], num_blocks * block_size);
  codec::KMeansOptions kmeans;
  kmeans.num_centroids = static_cast<int>(number("--centroids", 256));
  kmeans.iterations = static_cast<int>(number("--iterations", 15));
  kmeans.sample_iterations = static_cast<int>(number("--sample-iterations", kmeans.sample_iterations));
  kmeans.seed = static_cast<uint64_t>(number("--seed", 1));
  const base::ThreadPool pool(static_cast<int>(number("--threads", 1)));
  codec::KMeansReport report;
  std::vector<double> seconds;
  for (int64_t repeat = 0; repeat < number("--repeats", 1); ++repeat) {
    const auto start = std::chrono::steady_clock::now();
    codec::quantize_product(values, num_blocks, block_size, block_size, kmeans, pool, &report);
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::cout.precision(9);
  std::cout << "{\"seconds\": [" << quantnoise::join(seconds, ", ")
            << "], \"objective\": " << report.objective << ", \"iterations\": " << report.iterations
            << ", \"kernels\": \"" << quantnoise::kernels::instruction_set().name << "\"}\n";
  return 0;
}

struct Problem {
  static constexpr int64_t kRows = 1024, kCols = 4096;
  static constexpr int kBlockSize = 8, kCentroids = 256;
  std::vector<float> matrix = gaussian_values(kRows * kCols, 1);
  std::vector<float> centroids = gaussian_values(int64_t{kCentroids} * kBlockSize, 2);
  std::vector<uint16_t> codes = std::vector<uint16_t>(static_cast<size_t>(kRows * kCols / kBlockSize));

  Problem() {
    codec::assign_blocks(matrix, kRows, kCols, kBlockSize, centroids, kCentroids, codes, base::SerialFor());
  }
  static const Problem& instance() {
    static const Problem problem;
    return problem;
  }
};

void bench_assign(benchmark::State& state) {
  const Problem& p = Problem::instance();
  std::vector<uint16_t> codes(p.codes.size());
  for (auto _ : state) {
    codec::assign_blocks(p.matrix, Problem::kRows, Problem::kCols, Problem::kBlockSize, p.centroids,
                         Problem::kCentroids, codes, base::SerialFor());
  }
}
BENCHMARK(bench_assign)->Unit(benchmark::kMillisecond);

void bench_decode(benchmark::State& state) {
  const Problem& p = Problem::instance();
  const codec::ProductMatrix matrix{Problem::kRows,      Problem::kCols, Problem::kBlockSize,
                                    Problem::kCentroids, p.centroids,    p.codes};
  std::vector<float> out(p.matrix.size());
  for (auto _ : state) codec::decode(matrix, out, base::SerialFor());
}
BENCHMARK(bench_decode)->Unit(benchmark::kMillisecond);

void bench_centroid_gradient(benchmark::State& state) {
  const Problem& p = Problem::instance();
  std::vector<float> gradient(p.centroids.size());
  for (auto _ : state) {
    codec::accumulate_centroid_gradient(p.matrix, Problem::kRows, Problem::kCols, Problem::kBlockSize,
                                        p.codes, Problem::kCentroids, codec::CentroidGradient::kSum, {},
                                        gradient, base::SerialFor());
  }
}
BENCHMARK(bench_centroid_gradient)->Unit(benchmark::kMillisecond);

template <typename Out>
void bench_noise(benchmark::State& state) {
  const Problem& p = Problem::instance();
  codec::BlockNoiseSpec spec;
  spec.kind = static_cast<codec::BlockNoise>(state.range(0));
  spec.probability = 0.1;
  spec.survivor_scale = 1 / 0.9f;
  spec.stream = base::RandomStream(1, 2, 3, 4);
  spec.centroids = p.centroids;
  spec.codes = p.codes;
  std::vector<Out> out(p.matrix.size());
  for (auto _ : state) {
    codec::apply_block_noise(spec, p.matrix.data(), Problem::kRows, Problem::kCols, out.data(),
                             base::SerialFor());
  }
}
BENCHMARK(bench_noise<float>)->DenseRange(0, 3)->Unit(benchmark::kMillisecond);
BENCHMARK(bench_noise<uint16_t>)->DenseRange(0, 3)->Unit(benchmark::kMillisecond);

}  // namespace

int main(int argc, char** argv) {
  std::map<std::string, std::string> options;
  for (int i = 1; i + 1 < argc; i += 2) options[argv[i]] = argv[i + 1];
  if (options.count("--data")) {
    try {
      return run_kmeans(options);
    } catch (const quantnoise::Error& error) {
      std::cerr << error.what() << "\n";
      return quantnoise::exit_code(error.kind());
    }
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
