// The error of products by look-up tables on the inputs that a model's layers meet on a text, against exact
// products with the same codes.
//
//   table_error MODEL DATA [SPLIT [TOKENS]]
//
//   DATA    folder made by qn preprocess with the model's dictionary; SPLIT: test
//   TOKENS  1024: read from the middle of the split, in samples as long as the model sees

#include "table_error.h"

#include <cstdio>
#include <cstdlib>

#include "quantnoise/base/error.h"
#include "quantnoise/kernels/instruction_set.h"
#include "quantnoise/text/data_folder.h"
#include "quantnoise/text/dictionary.h"

namespace {

namespace bench = quantnoise::bench;
namespace runtime = quantnoise::runtime;
using quantnoise::ErrorKind;

/// `count` tokens around the middle of a split, in samples of `length`.
std::vector<runtime::ScoredTokens> middle_of(const quantnoise::text::TokenStream& stream, int64_t count,
                                             int64_t length) {
  count = std::min(count, stream.num_tokens() - 1);
  QN_REQUIRE(count > 0, ErrorKind::kData, "the split has no tokens");
  std::vector<int64_t> tokens(static_cast<size_t>(count) + 1);
  stream.read((stream.num_tokens() - count - 1) / 2, tokens);
  std::vector<runtime::ScoredTokens> texts;
  for (int64_t begin = 0; begin < count; begin += length) {
    const auto first = tokens.begin() + begin, last = tokens.begin() + std::min(begin + length, count);
    texts.push_back({{first, last}, {first + 1, last + 1}});
  }
  return texts;
}

/// Share of zeros, and the largest magnitude over the root of the mean square.
std::pair<double, double> shape_of(const std::vector<float>& x) {
  double zeros = 0, largest = 0, squares = 0;
  for (const float value : x) {
    zeros += value == 0;
    largest = std::max(largest, std::abs(double{value}));
    squares += double{value} * value;
  }
  const auto count = static_cast<double>(x.size());
  return {zeros / count, squares > 0 ? largest / std::sqrt(squares / count) : 0};
}

int run(int argc, char** argv) {
  QN_REQUIRE(argc >= 3 && argc <= 5, ErrorKind::kUsage, "usage: table_error MODEL DATA [SPLIT [TOKENS]]");
  const std::string split = argc > 3 ? argv[3] : "test";
  const int64_t num_tokens = argc > 4 ? std::strtoll(argv[4], nullptr, 10) : 1024;
  const auto file = quantnoise::pack::read_model_file(argv[1]);
  const auto folder = quantnoise::text::DataFolder::open(argv[2]);
  const auto model = runtime::LanguageModel::open(argv[1]);
  const auto texts = middle_of(*folder.stream(split), num_tokens, model->max_positions());
  std::printf("kernels %s, %lld tokens of %s\n\n", quantnoise::kernels::instruction_set().name,
              static_cast<long long>(num_tokens), split.c_str());
  std::printf(
      "| layer | weight | zeros | largest / rms | fast | its worst row | precise | its worst row |\n");
  std::printf("|---|---|---:|---:|---:|---:|---:|---:|\n");
  bench::ProductError most_fast, most_precise;
  for (const auto& layer : bench::record_inputs(file, argv[1], texts, num_tokens)) {
    const std::vector<double> exact = bench::exact_products(layer);
    const auto fast = bench::table_error(layer, exact, runtime::Arithmetic::kFast);
    const auto precise = bench::table_error(layer, exact, runtime::Arithmetic::kPrecise);
    const auto [zeros, peak] = shape_of(layer.x);
    std::printf("| %s | %lld x %lld, %d x %d | %.3f | %.1f | %.1e | %.1e | %.1e | %.1e |\n",
                layer.layer.c_str(), static_cast<long long>(layer.weight.rows()),
                static_cast<long long>(layer.weight.cols()), layer.weight.num_centroids,
                layer.weight.block_size, zeros, peak, fast.all, fast.worst, precise.all, precise.worst);
    for (auto [most, error] : {std::pair{&most_fast, fast}, std::pair{&most_precise, precise}})
      *most = {std::max(most->all, error.all), std::max(most->worst, error.worst)};
  }
  std::printf("\nlargest: fast %.1e (row %.1e), precise %.1e (row %.1e)\n", most_fast.all, most_fast.worst,
              most_precise.all, most_precise.worst);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const quantnoise::Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
