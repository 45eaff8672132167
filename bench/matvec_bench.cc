// Weights of every format times a few or many rows of fp32, on the stored bytes: mapped from a model file, as
// models are (a file in TMPDIR). Matrices are taken in turn so that every one comes from memory.
//
//   matvec_bench [--shapes 4096x4096,1024x4096,14336x4096] [--formats pq-8-256,pq-4-256,int8,int4,fp32]
//                [--arithmetics precise,fast] [--methods auto] [--threads 1,2] [--n 1] [--memory MIB]
//                [--passes P] [--json]
//   matvec_bench --serve
//
//   --formats  pq-BLOCK-CENTROIDS, pq-BLOCK-CENTROIDS-int8 (its centroids), int2 … int8, fp32, fp16, bf16
//   --arithmetics  precise, fast, codes (activations of 8 bits, quantized before)
//   --n        rows of x
//   --methods  auto, lookup, decode
//   --memory   at least that much of matrices in turn; more than the last-level cache (0: one matrix)
//   --serve    the first line written describes the machine; then every line read, "SHAPE FORMAT ARITHMETIC
//              THREADS N MEMORY PASSES", is answered by one of JSON. Matrices are kept as long as lines have
//              the same shape and memory: so that a script can take turns with other programs.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <map>
#include <sstream>

#include "quantnoise/base/parallel.h"
#include "quantnoise/kernels/instruction_set.h"
#include "random_matrices.h"

namespace {

namespace base = quantnoise::base;
namespace bench = quantnoise::bench;
namespace codec = quantnoise::codec;
namespace runtime = quantnoise::runtime;

using Clock = std::chrono::steady_clock;
using Options = std::map<std::string, std::string>;
using quantnoise::ErrorKind;

struct Case {
  std::string shape, format, arithmetic, method = "auto";
  int threads = 1;
  int64_t n = 1;
  int64_t memory_mib = 400;
  int64_t passes = 7;
};

/// Microseconds of one call: the tenth part of the calls took no longer than `best`, half of them no longer
/// than `median`. Every call takes the next matrix. (The very best would be luck with what a cache still
/// held.)
struct Times {
  double best = 0;
  double median = 0;
  int64_t weight_bytes = 0;
  std::string kernel;
};

struct Shape {
  int64_t rows = 0;
  int64_t cols = 0;
};

Shape shape_of(const std::string& text) {
  const size_t cross = text.find('x');
  QN_REQUIRE(cross != std::string::npos, ErrorKind::kUsage, "shape: found ", text, ", expected ROWSxCOLS");
  return {std::stoll(text.substr(0, cross)), std::stoll(text.substr(cross + 1))};
}

runtime::Method method_of(const std::string& name) {
  if (name == "auto") return runtime::Method::kAuto;
  if (name == "lookup") return runtime::Method::kLookup;
  QN_REQUIRE(name == "decode", ErrorKind::kUsage, "method: found ", name,
             ", expected auto, lookup or decode");
  return runtime::Method::kDecode;
}

// "codes" is no arithmetic of fp32 inputs.
runtime::Arithmetic arithmetic_of(const std::string& name) {
  if (name == "codes") return runtime::Arithmetic::kPrecise;
  if (name == "fast") return runtime::Arithmetic::kFast;
  QN_REQUIRE(name == "precise", ErrorKind::kUsage, "arithmetic: found ", name,
             ", expected precise, fast or codes");
  return runtime::Arithmetic::kPrecise;
}

std::vector<uint8_t> random_codes(int64_t count) {
  std::vector<uint8_t> codes(static_cast<size_t>(count));
  for (size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<uint8_t>(base::mix64(i));
  return codes;
}

class Bench {
 public:
  Times run(const Case& what) {
    const Shape shape = shape_of(what.shape);
    const auto& matrices = matrices_of(what);
    if (pool_ == nullptr || pool_->num_threads() != what.threads)
      pool_ = std::make_unique<base::ThreadPool>(what.threads);
    const std::vector<float> x = bench::gaussian_values(what.n * shape.cols, 3);
    std::vector<float> y(static_cast<size_t>(what.n * shape.rows));
    const runtime::MultiplyOptions options{arithmetic_of(what.arithmetic), method_of(what.method),
                                           pool_.get(), &workspace_};
    const std::vector<uint8_t> codes = random_codes(what.n * shape.cols);
    const float scale = 0.02f;
    const int32_t zero_point = 117;
    const auto multiply = [&](const runtime::Matrix& matrix) {
      if (what.arithmetic == "codes") {
        matrix.multiply_codes({codes, what.n, {&scale, 1}, {&zero_point, 1}}, {}, y, options);
      } else {
        matrix.multiply(x, what.n, {}, y, options);
      }
    };
    multiply(*matrices[0].matrix);
    std::vector<double> times;
    for (int64_t pass = 0; pass < what.passes; ++pass) {
      for (const Stored& stored : matrices) {
        const auto start = Clock::now();
        multiply(*stored.matrix);
        times.push_back(std::chrono::duration<double>(Clock::now() - start).count() * 1e6);
      }
    }
    std::sort(times.begin(), times.end());
    return {times[times.size() / 10], times[times.size() / 2], matrices[0].bytes,
            what.arithmetic == "codes" ? "activations of 8 bits"
                                       : matrices[0].matrix->kernel_name(what.n, options.arithmetic)};
  }

 private:
  struct Stored {
    std::unique_ptr<runtime::Matrix> matrix;
    int64_t bytes = 0;
  };

  const std::vector<Stored>& matrices_of(const Case& what) {
    const std::string group = what.shape + " " + std::to_string(what.memory_mib);
    if (group != group_) matrices_.clear();
    group_ = group;
    std::vector<Stored>& matrices = matrices_[what.format];
    if (!matrices.empty()) return matrices;
    const Shape shape = shape_of(what.shape);
    for (codec::PackedWeight& weight :
         bench::mapped_weights(what.format, shape.rows, shape.cols, what.memory_mib << 20)) {
      const int64_t bytes = weight.stored_bytes();
      matrices.push_back({runtime::make_matrix(std::move(weight)), bytes});
    }
    return matrices;
  }

  std::unique_ptr<base::ThreadPool> pool_;
  runtime::Workspace workspace_;
  std::string group_;
  std::map<std::string, std::vector<Stored>> matrices_;
};

std::string to_json(const Case& what, const Times& times) {
  std::ostringstream out;
  out << "{\"shape\": \"" << what.shape << "\", \"format\": \"" << what.format << "\", \"arithmetic\": \""
      << what.arithmetic << "\", \"method\": \"" << what.method << "\", \"kernel\": \"" << times.kernel
      << "\", \"threads\": " << what.threads << ", \"n\": " << what.n
      << ", \"weight_bytes\": " << times.weight_bytes << ", \"best_us\": " << times.best
      << ", \"median_us\": " << times.median << "}";
  return out.str();
}

void print_line(const Case& what, const Times& times) {
  std::printf("%12s %-10s %-8s %-7s %2d threads %4lld rows %11.1f (%9.1f) us %6.1f GB/s  %s\n",
              what.shape.c_str(), what.format.c_str(), what.arithmetic.c_str(), what.method.c_str(),
              what.threads, static_cast<long long>(what.n), times.best, times.median,
              static_cast<double>(times.weight_bytes) / times.best / 1e3, times.kernel.c_str());
  std::fflush(stdout);
}

std::vector<Case> cases_of(const Options& options) {
  const auto get = [&](const char* name, const char* otherwise) {
    return options.count(name) ? options.at(name) : std::string(otherwise);
  };
  std::vector<Case> cases(1);
  cases[0].n = std::stoll(get("--n", "1"));
  cases[0].memory_mib = std::stoll(get("--memory", "400"));
  cases[0].passes = std::stoll(get("--passes", "7"));
  const auto expand = [&](const std::string& values, auto set) {
    std::vector<Case> more;
    for (const Case& one : cases) {
      for (const std::string& value : bench::split(values, ',')) {
        more.push_back(one);
        set(more.back(), value);
      }
    }
    cases = std::move(more);
  };
  expand(get("--shapes", "4096x4096,1024x4096,14336x4096"), [](Case& c, auto v) { c.shape = v; });
  expand(get("--formats", "pq-8-256,pq-4-256,int8,int4,fp32"), [](Case& c, auto v) { c.format = v; });
  expand(get("--threads", "1,2"), [](Case& c, auto v) { c.threads = std::stoi(v); });
  expand(get("--arithmetics", "precise,fast"), [](Case& c, auto v) { c.arithmetic = v; });
  expand(get("--methods", "auto"), [](Case& c, auto v) { c.method = v; });
  return cases;
}

void run_all(const Options& options) {
  Bench bench;
  const bool json = options.count("--json") > 0;
  const std::vector<Case> cases = cases_of(options);
  const std::string machine = quantnoise::kernels::cpu_description();
  std::cout << (json ? "{\"machine\": \"" + machine + "\", \"runs\": [\n"
                     : machine + "\nbest tenth of the calls (median)\n");
  for (size_t i = 0; i < cases.size(); ++i) {
    const Times times = bench.run(cases[i]);
    if (json) {
      std::cout << to_json(cases[i], times) << (i + 1 < cases.size() ? ",\n" : "\n]}\n");
    } else {
      std::cout.flush();
      print_line(cases[i], times);
    }
  }
}

void serve() {
  Bench bench;
  std::cout << "{\"machine\": \"" << quantnoise::kernels::cpu_description() << "\"}" << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    Case what;
    words >> what.shape >> what.format >> what.arithmetic >> what.threads >> what.n >> what.memory_mib >>
        what.passes;
    QN_REQUIRE(!words.fail(), ErrorKind::kUsage, "--serve: found the line \"", line,
               "\", expected SHAPE FORMAT ARITHMETIC THREADS N MEMORY PASSES");
    std::cout << to_json(what, bench.run(what)) << std::endl;
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string name = argv[i];
    const bool is_flag = name == "--json" || name == "--serve";
    options[name] = is_flag || i + 1 == argc ? "" : argv[++i];
  }
  try {
    options.count("--serve") ? serve() : run_all(options);
  } catch (const quantnoise::Error& error) {
    std::cerr << error.what() << "\n";
    return quantnoise::exit_code(error.kind());
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << "\n";
    return 1;
  }
  return 0;
}
