// Product codes times vectors, on the codes: look-up tables and decoding against a dense fp32 product of the
// same shape in the same run. Matrices are taken in turn so that every one comes from memory.
//
//   product_matvec_bench [--shapes 4096x4096,1024x4096,14336x4096] [--blocks 8] [--centroids 256,16]
//                        [--threads 1,2] [--n 1] [--methods auto] [--arithmetics precise,fast]
//                        [--memory MIB] [--passes P] [--no-dense] [--json]
//
//   --n        rows of x
//   --methods  auto, lookup, decode
//   --memory   at least that much of matrices in turn; more than the last-level cache (0: one matrix)

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "quantnoise/base/checked.h"
#include "quantnoise/base/error.h"
#include "quantnoise/base/parallel.h"
#include "quantnoise/base/random.h"
#include "quantnoise/codec/bit_pack.h"
#include "quantnoise/codec/half.h"
#include "quantnoise/kernels/kernel_table.h"
#include "quantnoise/runtime/product_matrix.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

namespace base = quantnoise::base;
namespace codec = quantnoise::codec;
namespace runtime = quantnoise::runtime;

using Clock = std::chrono::steady_clock;
using Options = std::map<std::string, std::string>;

struct Shape {
  int64_t rows = 0;
  int64_t cols = 0;
};

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> items(1);
  for (const char c : text) {
    if (c == ',') {
      items.emplace_back();
    } else {
      items.back() += c;
    }
  }
  return items;
}

Shape shape_of(const std::string& text) {
  const size_t cross = text.find('x');
  QN_REQUIRE(cross != std::string::npos, quantnoise::ErrorKind::kUsage, "--shapes: found ", text,
             ", expected ROWSxCOLS");
  return {std::stoll(text.substr(0, cross)), std::stoll(text.substr(cross + 1))};
}

float gaussian(base::SequentialRandom& random) {
  const double radius = std::sqrt(-2 * std::log1p(-static_cast<double>(random.uniform())));
  return static_cast<float>(radius * std::cos(6.283185307179586 * random.uniform()));
}

std::vector<float> gaussian_values(int64_t count, uint64_t seed) {
  base::SequentialRandom random(seed);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = gaussian(random);
  return values;
}

// Matrices of random codes, each with a codebook of its own.
std::vector<std::unique_ptr<runtime::ProductMatrix>> make_matrices(Shape shape, int block_size,
                                                                   int num_centroids, int64_t count) {
  codec::PackedWeight weight;
  weight.scheme = codec::Scheme::kProduct;
  weight.shape = {shape.rows, shape.cols};
  weight.block_size = block_size;
  weight.num_centroids = num_centroids;
  weight.code_bits = codec::code_bits_for(num_centroids);
  QN_REQUIRE(num_centroids == 1 << weight.code_bits, quantnoise::ErrorKind::kUsage, "--centroids: found ",
             num_centroids, ", expected a power of two: all codes are drawn");
  std::vector<std::byte> centroids;
  for (const float value : gaussian_values(int64_t{num_centroids} * block_size, 1)) {
    const uint16_t half = codec::float_to_half(value);
    centroids.push_back(static_cast<std::byte>(half));
    centroids.push_back(static_cast<std::byte>(half >> 8));
  }
  weight.centroids = codec::ByteBlock::own(centroids);
  std::vector<std::unique_ptr<runtime::ProductMatrix>> matrices;
  for (int64_t m = 0; m < count; ++m) {
    std::vector<std::byte> codes(
        static_cast<size_t>(codec::packed_bytes(shape.rows * shape.cols / block_size, weight.code_bits)));
    for (size_t i = 0; i < codes.size(); ++i)
      codes[i] =
          static_cast<std::byte>(base::mix64(i / 8 + static_cast<uint64_t>(m) * 1234567) >> (i % 8 * 8));
    weight.codes = codec::ByteBlock::own(std::move(codes));
    matrices.push_back(std::make_unique<runtime::ProductMatrix>(weight));
  }
  return matrices;
}

// Microseconds of one call: the tenth part of the calls took no longer than `best`, half of them no longer
// than `median`. Every call takes the next matrix. (The very best would be luck with what a cache still
// held.)
struct Times {
  double best = 0;
  double median = 0;
};

template <typename Call>
Times time_calls(int64_t num_matrices, int64_t passes, const Call& call) {
  std::vector<double> times;
  for (int64_t i = 0; i < passes * num_matrices; ++i) {
    const auto start = Clock::now();
    call(i % num_matrices);
    times.push_back(std::chrono::duration<double>(Clock::now() - start).count() * 1e6);
  }
  std::sort(times.begin(), times.end());
  return {times[times.size() / 10], times[times.size() / 2]};
}

// Dense fp32, one row of the weight after the other: as fast as memory gives it.
#if defined(__x86_64__)
__attribute__((target("avx512f"))) float dot_avx512(const float* a, const float* b, int64_t count) {
  __m512 sums[8] = {};
  for (int64_t i = 0; i + 128 <= count; i += 128) {
    for (int v = 0; v < 8; ++v) {
      _mm_prefetch(reinterpret_cast<const char*>(a + i + v * 16 + 2048), _MM_HINT_T1);
      sums[v] = _mm512_fmadd_ps(_mm512_loadu_ps(a + i + v * 16), _mm512_loadu_ps(b + i + v * 16), sums[v]);
    }
  }
  for (int v = 1; v < 8; ++v) sums[0] = _mm512_add_ps(sums[0], sums[v]);
  float sum = _mm512_reduce_add_ps(sums[0]);
  for (int64_t i = count / 128 * 128; i < count; ++i) sum += a[i] * b[i];
  return sum;
}
#endif

float dot(const float* a, const float* b, int64_t count) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return dot_avx512(a, b, count);
#endif
  float sums[16] = {};
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) {
    for (int v = 0; v < 16; ++v) sums[v] += a[i + v] * b[i + v];
  }
  float sum = 0;
  for (const float part : sums) sum += part;
  for (; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

Times time_dense(Shape shape, int64_t memory_bytes, int64_t passes, const base::ParallelFor& pool) {
  const int64_t numel = shape.rows * shape.cols;
  const int64_t count = std::max<int64_t>(1, memory_bytes / (4 * numel) + (memory_bytes > 0));
  std::vector<std::vector<float>> matrices;
  for (int64_t m = 0; m < count; ++m) matrices.emplace_back(static_cast<size_t>(numel), 0.5f);
  const std::vector<float> x = gaussian_values(shape.cols, 2);
  std::vector<float> y(static_cast<size_t>(shape.rows));
  return time_calls(count, passes, [&](int64_t m) {
    const float* weight = matrices[static_cast<size_t>(m)].data();
    pool(shape.rows, base::ceil_div(shape.rows, pool.num_threads()), [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r)
        y[static_cast<size_t>(r)] = dot(weight + r * shape.cols, x.data(), shape.cols);
    });
  });
}

struct Run {
  Shape shape;
  int block_size = 8;
  int num_centroids = 256;
  int threads = 1;
  int64_t n = 1;
  std::string arithmetic, method;
  int64_t code_bytes = 0;
  Times times, dense;
};

runtime::Method method_of(const std::string& name) {
  if (name == "auto") return runtime::Method::kAuto;
  if (name == "lookup") return runtime::Method::kLookup;
  QN_REQUIRE(name == "decode", quantnoise::ErrorKind::kUsage, "--methods: found ", name,
             ", expected auto, lookup or decode");
  return runtime::Method::kDecode;
}

runtime::Arithmetic arithmetic_of(const std::string& name) {
  if (name == "fast") return runtime::Arithmetic::kFast;
  QN_REQUIRE(name == "precise", quantnoise::ErrorKind::kUsage, "--arithmetics: found ", name,
             ", expected precise or fast");
  return runtime::Arithmetic::kPrecise;
}

class Bench {
 public:
  explicit Bench(Options options) : options_(std::move(options)) {
    memory_bytes_ = number("--memory", 400) << 20;
    passes_ = number("--passes", 7);
  }

  std::vector<Run> run() {
    for (const std::string& text : list("--shapes", "4096x4096,1024x4096,14336x4096")) {
      const Shape shape = shape_of(text);
      for (const std::string& threads : list("--threads", "1,2")) {
        const base::ThreadPool pool(std::stoi(threads));
        const bool dense = options_.count("--no-dense") == 0;
        const Times dense_times = dense ? time_dense(shape, memory_bytes_, passes_, pool) : Times{};
        for (const std::string& block : list("--blocks", "8")) {
          for (const std::string& centroids : list("--centroids", "256,16"))
            run_weight(shape, std::stoi(block), std::stoi(centroids), pool, dense_times);
        }
      }
    }
    return runs_;
  }

 private:
  int64_t number(const char* name, int64_t otherwise) const {
    return options_.count(name) ? std::stoll(options_.at(name)) : otherwise;
  }
  std::vector<std::string> list(const char* name, const char* otherwise) const {
    return split(options_.count(name) ? options_.at(name) : otherwise);
  }

  void run_weight(Shape shape, int block_size, int num_centroids, const base::ThreadPool& pool, Times dense) {
    const int64_t code_bytes =
        codec::packed_bytes(shape.rows * shape.cols / block_size, codec::code_bits_for(num_centroids));
    const auto matrices = make_matrices(shape, block_size, num_centroids, memory_bytes_ / code_bytes + 1);
    const int64_t n = number("--n", 1);
    const std::vector<float> x = gaussian_values(n * shape.cols, 3);
    std::vector<float> y(static_cast<size_t>(n * shape.rows));
    runtime::Workspace workspace;
    for (const std::string& arithmetic : list("--arithmetics", "precise,fast")) {
      for (const std::string& method : list("--methods", "auto")) {
        const runtime::MultiplyOptions options{arithmetic_of(arithmetic), method_of(method), &pool,
                                               &workspace};
        const Times times = time_calls(static_cast<int64_t>(matrices.size()), passes_, [&](int64_t m) {
          matrices[static_cast<size_t>(m)]->multiply(x, n, {}, y, options);
        });
        runs_.push_back({shape, block_size, num_centroids, pool.num_threads(), n, arithmetic, method,
                         code_bytes, times, dense});
      }
    }
  }

  Options options_;
  int64_t memory_bytes_ = 0;
  int64_t passes_ = 0;
  std::vector<Run> runs_;
};

void print_json(const std::vector<Run>& runs) {
  std::cout << "{\"machine\": \"" << quantnoise::kernels::cpu_description() << "\", \"runs\": [";
  for (size_t i = 0; i < runs.size(); ++i) {
    const Run& r = runs[i];
    std::cout << (i ? ",\n" : "\n") << "{\"rows\": " << r.shape.rows << ", \"cols\": " << r.shape.cols
              << ", \"block\": " << r.block_size << ", \"centroids\": " << r.num_centroids
              << ", \"threads\": " << r.threads << ", \"n\": " << r.n << ", \"arithmetic\": \""
              << r.arithmetic << "\", \"method\": \"" << r.method << "\", \"best_us\": " << r.times.best
              << ", \"median_us\": " << r.times.median << ", \"code_bytes\": " << r.code_bytes
              << ", \"dense_best_us\": " << r.dense.best << "}";
  }
  std::cout << "]}\n";
}

void print_table(const std::vector<Run>& runs) {
  std::printf("%s\nmicroseconds, best tenth (median); dense: fp32, one row of x\n\n",
              quantnoise::kernels::cpu_description().c_str());
  std::printf("%13s %5s %9s %7s %3s  %-7s %-6s %18s %10s %9s %7s\n", "shape", "block", "centroids", "threads",
              "n", "tables", "method", "us", "codes GB/s", "dense us", "ratio");
  for (const Run& r : runs) {
    std::printf("%6lldx%-6lld %5d %9d %7d %3lld  %-7s %-6s %9.1f (%6.1f) %10.1f %9.1f %6.1fx\n",
                static_cast<long long>(r.shape.rows), static_cast<long long>(r.shape.cols), r.block_size,
                r.num_centroids, r.threads, static_cast<long long>(r.n), r.arithmetic.c_str(),
                r.method.c_str(), r.times.best, r.times.median,
                static_cast<double>(r.code_bytes) / r.times.best / 1e3, r.dense.best,
                r.dense.best / r.times.best);
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    const bool is_flag = name == "--json" || name == "--no-dense";
    options[name] = is_flag || i + 1 == argc ? "" : argv[++i];
  }
  try {
    const std::vector<Run> runs = Bench(options).run();
    options.count("--json") ? print_json(runs) : print_table(runs);
  } catch (const quantnoise::Error& error) {
    std::cerr << error.what() << "\n";
    return quantnoise::exit_code(error.kind());
  }
  return 0;
}
