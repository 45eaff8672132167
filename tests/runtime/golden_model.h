#pragma once
// The models of tests/golden/runtime/language_models.py as model files.

#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "quantnoise/base/error.h"
#include "quantnoise/base/parallel.h"
#include "quantnoise/codec/affine.h"
#include "quantnoise/codec/half.h"
#include "quantnoise/pack/model_file.h"
#include "quantnoise/text/dictionary.h"

namespace quantnoise::runtime::test {

using nlohmann::json;

inline const json& golden_models() {
  static const json models = [] {
    std::ifstream file(std::string(QN_SOURCE_DIR) + "/tests/golden/runtime/language_models.json");
    return json::parse(file);
  }();
  return models;
}

inline std::vector<float> pattern(int64_t count, int64_t j) {
  std::vector<float> values;
  for (int64_t i = 0; i < count; ++i)
    values.push_back(
        static_cast<float>(std::sin(0.7 * static_cast<double>(i) + 1.3 * static_cast<double>(j))) * 0.3f);
  return values;
}

inline codec::PackedWeight dense_weight(const json& record, int64_t j, bool padded) {
  const auto shape = record["shape"].get<std::vector<int64_t>>();
  std::vector<float> values = pattern(shape[0] * shape[1], j);
  if (padded) std::fill_n(values.begin() + shape[1], shape[1], 0.0f);
  const std::string type = record["scheme"];
  return codec::pack_dense(values, shape,
                           type == "f16"    ? codec::ScalarType::kF16
                           : type == "bf16" ? codec::ScalarType::kBF16
                                            : codec::ScalarType::kF32);
}

inline codec::PackedWeight pq_weight(const json& record, int64_t j) {
  const auto shape = record["shape"].get<std::vector<int64_t>>();
  codec::ProductMatrix matrix;
  matrix.rows = shape[0];
  matrix.cols = shape[1];
  matrix.block_size = record["block_size"];
  matrix.num_centroids = record["num_centroids"];
  const int64_t k = matrix.num_centroids;
  for (int64_t n = 0; n < shape[0] * shape[1] / matrix.block_size; ++n)
    matrix.codes.push_back(static_cast<uint16_t>((n * n + 7 * n + 3 * j) % k));
  for (int64_t i = 0; i < k * matrix.block_size; ++i) {
    matrix.centroids.push_back(
        static_cast<float>(std::sin(1.1 * static_cast<double>(i) + 0.7 * static_cast<double>(j))) * 0.3f);
  }
  codec::PackedWeight weight = codec::pack_product(matrix, shape);
  if (!record.value("int8_centroids", false)) return weight;
  std::vector<std::byte> integers;
  for (int64_t i = 0; i < k * matrix.block_size; ++i)
    integers.push_back(static_cast<std::byte>(static_cast<int8_t>((37 * i + 11 * j) % 255 - 127)));
  weight.centroid_type = codec::ScalarType::kI8;
  weight.centroid_scale = static_cast<float>(0.3 / 127);
  weight.centroids = codec::ByteBlock::own(std::move(integers));
  return weight;
}

inline codec::PackedWeight affine_weight(const json& record, int64_t j) {
  const auto shape = record["shape"].get<std::vector<int64_t>>();
  codec::AffineGrid grid;
  grid.bits = record["bits"];
  grid.axis = record["axis"];
  grid.scales.clear();
  grid.zero_points.clear();
  for (int64_t c = 0; c < (grid.axis == 0 ? shape[0] : 1); ++c) {
    grid.scales.push_back(
        static_cast<float>(0.625 / (1 << grid.bits) * (1 + static_cast<double>(c % 3) / 8)));
    grid.zero_points.push_back(
        std::min((1 << (grid.bits - 1)) + static_cast<int32_t>(c % 2), grid.max_code()));
  }
  std::vector<uint8_t> codes;
  for (int64_t i = 0; i < shape[0] * shape[1]; ++i)
    codes.push_back(static_cast<uint8_t>((i * i + 29 * i + 13 * j) % (1 << grid.bits)));
  return codec::pack_affine(codes, shape, grid);
}

inline codec::ByteBlock bytes_of(const void* data, size_t size) {
  const auto* bytes = static_cast<const std::byte*>(data);
  return codec::ByteBlock::own({bytes, bytes + size});
}

/// Words w4, w5, … beside the special symbols.
inline codec::ByteBlock dictionary_blob(int64_t size) {
  text::Dictionary dictionary;
  while (dictionary.size() < size) dictionary.add_symbol(str_cat("w", dictionary.size()));
  return codec::ByteBlock::own(text::dictionary_to_bytes(dictionary));
}

/// A model file as training would write it.
inline pack::ModelFile golden_file(const json& golden) {
  pack::ModelFile file;
  file.architecture = "transformer_lm";
  file.options_json = golden["options"].dump();
  const auto padded = golden["padding_rows"].get<std::vector<std::string>>();
  int64_t j = 0;
  for (const auto& [name, record] : golden["weights"].items()) {  // sorted by name
    const std::string scheme = record["scheme"];
    const bool has_padding = std::find(padded.begin(), padded.end(), name) != padded.end();
    if (record["shape"].size() == 2) {
      codec::PackedWeight weight = scheme == "pq"       ? pq_weight(record, j)
                                   : scheme == "affine" ? affine_weight(record, j)
                                                        : dense_weight(record, j, has_padding);
      if (has_padding) weight.zero_row = 1;
      file.weights.emplace(name, std::move(weight));
    } else {
      std::vector<float> values = pattern(record["shape"][0], j);
      if (name.find("layer_norm.weight") != std::string::npos) {
        for (float& value : values) value = 1 + 0.5f * value;
      }
      const int64_t size = record["shape"][0];
      file.tensors.emplace(
          name, pack::RawTensor{
                    codec::ScalarType::kF32, {size}, bytes_of(values.data(), values.size() * sizeof(float))});
    }
    ++j;
  }
  for (const auto& [alias, canonical] : golden["ties"].items()) file.ties.emplace(alias, canonical);
  file.blobs.emplace("dictionary", dictionary_blob(golden["options"]["vocab_size"]));
  file.blobs.emplace("tokenizer", bytes_of("space", 5));
  return file;
}

}  // namespace quantnoise::runtime::test
