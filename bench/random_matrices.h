#pragma once
// Matrices of random codes or elements for benchmarks, by the name of their format:
//   pq-8-256 (product codes: block size, centroids), pq-8-256-int8 (its centroids in int8), int8 … int2,
//   fp32, fp16, bf16

#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "quantnoise/base/checked.h"
#include "quantnoise/base/error.h"
#include "quantnoise/base/random.h"
#include "quantnoise/codec/bit_pack.h"
#include "quantnoise/codec/half.h"
#include "quantnoise/codec/packed_weight.h"
#include "quantnoise/pack/model_file.h"
#include "quantnoise/runtime/matrix.h"

namespace quantnoise::bench {

inline float gaussian(base::SequentialRandom& random) {
  const double radius = std::sqrt(-2 * std::log1p(-static_cast<double>(random.uniform())));
  return static_cast<float>(radius * std::cos(6.283185307179586 * random.uniform()));
}

inline std::vector<float> gaussian_values(int64_t count, uint64_t seed) {
  base::SequentialRandom random(seed);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = gaussian(random);
  return values;
}

inline codec::ByteBlock random_bytes(int64_t count, uint64_t seed) {
  std::vector<std::byte> bytes(static_cast<size_t>(count));
  for (size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::byte>(base::mix64(i / 8 + seed * 1234567) >> (i % 8 * 8));
  return codec::ByteBlock::own(std::move(bytes));
}

inline std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> items(1);
  for (const char c : text) {
    if (c == separator) {
      items.emplace_back();
    } else {
      items.back() += c;
    }
  }
  return items;
}

inline codec::PackedWeight random_product(const std::string& format, int64_t rows, int64_t cols,
                                          uint64_t seed) {
  const std::vector<std::string> parts = split(format, '-');
  const bool bytes = parts.size() == 4 && parts[3] == "int8";
  QN_REQUIRE(parts.size() == 3 || bytes, ErrorKind::kUsage, "format: found ", format,
             ", expected pq-BLOCK-CENTROIDS or pq-BLOCK-CENTROIDS-int8");
  codec::PackedWeight weight;
  weight.scheme = codec::Scheme::kProduct;
  weight.shape = {rows, cols};
  weight.block_size = std::stoi(parts[1]);
  weight.num_centroids = std::stoi(parts[2]);
  weight.code_bits = codec::code_bits_for(weight.num_centroids);
  QN_REQUIRE(weight.num_centroids == 1 << weight.code_bits, ErrorKind::kUsage, "format: found ",
             weight.num_centroids, " centroids, expected a power of two: all codes are drawn");
  weight.codes = random_bytes(codec::packed_bytes(rows * cols / weight.block_size, weight.code_bits), seed);
  if (bytes) {
    weight.centroid_type = codec::ScalarType::kI8;
    weight.centroid_scale = 0.01f;
    weight.centroids = random_bytes(int64_t{weight.num_centroids} * weight.block_size, 1);
    return weight;
  }
  std::vector<std::byte> centroids;
  for (const float value : gaussian_values(int64_t{weight.num_centroids} * weight.block_size, 1)) {
    const uint16_t half = codec::float_to_half(value);
    centroids.push_back(static_cast<std::byte>(half));
    centroids.push_back(static_cast<std::byte>(half >> 8));
  }
  weight.centroids = codec::ByteBlock::own(std::move(centroids));
  return weight;
}

inline codec::PackedWeight random_affine(int bits, int64_t rows, int64_t cols, uint64_t seed) {
  codec::PackedWeight weight;
  weight.scheme = codec::Scheme::kAffine;
  weight.shape = {rows, cols};
  weight.code_bits = bits;
  weight.codes = random_bytes(codec::packed_bytes(rows * cols, bits), seed);
  weight.affine_axis = 0;
  for (int64_t row = 0; row < rows; ++row) {
    weight.scales.push_back(0.01f + 0.0001f * static_cast<float>(row % 13));
    weight.zero_points.push_back((1 << bits) / 2);
  }
  return weight;
}

inline codec::PackedWeight random_dense(const std::string& format, int64_t rows, int64_t cols,
                                        uint64_t seed) {
  const auto type = format == "fp32"   ? codec::ScalarType::kF32
                    : format == "fp16" ? codec::ScalarType::kF16
                                       : codec::ScalarType::kBF16;
  QN_REQUIRE(format == "fp32" || format == "fp16" || format == "bf16", ErrorKind::kUsage, "format: found ",
             format, ", expected pq-BLOCK-CENTROIDS, int2 … int8, fp32, fp16 or bf16");
  std::vector<float> values = gaussian_values(4096, seed);
  values.resize(static_cast<size_t>(rows * cols));
  for (size_t i = 4096; i < values.size(); ++i) values[i] = values[i % 4096];
  return codec::pack_dense(values, {rows, cols}, type);
}

inline codec::PackedWeight random_weight(const std::string& format, int64_t rows, int64_t cols,
                                         uint64_t seed) {
  if (format.rfind("pq", 0) == 0) return random_product(format, rows, cols, seed);
  if (format.rfind("int", 0) == 0) return random_affine(std::stoi(format.substr(3)), rows, cols, seed);
  return random_dense(format, rows, cols, seed);
}

/// A folder of its own, removed at the end.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    const std::string pattern = (std::filesystem::temp_directory_path() / "qn_bench_XXXXXX").string();
    path_ = pattern;
    QN_REQUIRE(::mkdtemp(path_.data()) != nullptr, ErrorKind::kIo, "cannot create a folder like ", pattern);
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

/// At least one, and at least so many bytes, mapped from a model file whose name is gone already.
inline std::vector<codec::PackedWeight> mapped_weights(const std::string& format, int64_t rows, int64_t cols,
                                                       int64_t num_bytes) {
  pack::ModelFile file;
  int64_t stored = 0;
  for (uint64_t seed = 0; seed == 0 || stored < num_bytes; ++seed) {
    codec::PackedWeight weight = random_weight(format, rows, cols, seed);
    stored += weight.stored_bytes();
    file.weights.emplace("weight." + std::to_string(seed), std::move(weight));
  }
  const TemporaryFolder folder;
  pack::write_model_file(folder.file("weights.qn"), file);
  pack::ModelFile mapped = pack::read_model_file(folder.file("weights.qn"));
  std::vector<codec::PackedWeight> weights;
  for (auto& [name, weight] : mapped.weights) weights.push_back(std::move(weight));
  return weights;
}

}  // namespace quantnoise::bench
