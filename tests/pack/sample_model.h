#pragma once
// A small model with every scheme, built by hand, and an independent look at the bytes of a file.

#include <cstdint>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "../base/temporary_folder.h"
#include "quantnoise/base/file.h"
#include "quantnoise/pack/model_file.h"

namespace quantnoise::pack::test {

inline codec::ByteBlock bytes_of(const std::vector<uint8_t>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return codec::ByteBlock::own({bytes.begin(), bytes.end()});
}

/// `count` bytes, all different from their neighbours.
inline codec::ByteBlock counting(int64_t count, int start = 0) {
  std::vector<uint8_t> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<uint8_t>(static_cast<int>(i) * 7 + start);
  return bytes_of(values);
}

/// 6 × 8, blocks of 4, 5 centroids of 3 bits: 12 codes 0 1 2 3 4 0 1 2 3 4 0 1.
inline codec::PackedWeight product_weight() {
  codec::PackedWeight weight;
  weight.scheme = codec::Scheme::kProduct;
  weight.shape = {6, 8};
  weight.block_size = 4;
  weight.num_centroids = 5;
  weight.code_bits = 3;
  std::vector<uint8_t> packed(5);
  for (int i = 0; i < 12; ++i) {
    for (int bit = 0; bit < 3; ++bit) {
      if (i % 5 >> bit & 1)
        packed[static_cast<size_t>((i * 3 + bit) / 8)] |= static_cast<uint8_t>(1 << ((i * 3 + bit) % 8));
    }
  }
  weight.codes = bytes_of(packed);
  // fp16: centroid k is all k + 1.
  std::vector<uint8_t> centroids;
  for (const uint16_t half : {0x3c00, 0x4000, 0x4200, 0x4400, 0x4500}) {
    for (int i = 0; i < 4; ++i) {
      centroids.push_back(static_cast<uint8_t>(half & 0xff));
      centroids.push_back(static_cast<uint8_t>(half >> 8));
    }
  }
  weight.centroids = bytes_of(centroids);
  return weight;
}

inline codec::PackedWeight product_weight_int8() {
  codec::PackedWeight weight = product_weight();
  weight.centroid_type = codec::ScalarType::kI8;
  weight.centroid_scale = 0.1f;
  weight.centroids = counting(20, 1);
  weight.order.tile_rows = 128;
  return weight;
}

/// 3 × 4 elements of `bits` bits, per output channel.
inline codec::PackedWeight affine_weight(int bits) {
  codec::PackedWeight weight;
  weight.scheme = codec::Scheme::kAffine;
  weight.shape = {3, 4};
  weight.code_bits = bits;
  weight.codes = counting((12 * bits + 7) / 8, 3);
  weight.affine_axis = 0;
  weight.scales = {0.5f, 1.25f, 0.1f};
  weight.zero_points = {3, 0, (1 << bits) - 1};
  return weight;
}

inline codec::PackedWeight dense_weight(codec::ScalarType type) {
  codec::PackedWeight weight;
  weight.shape = {3, 2, 1};
  weight.dense_type = type;
  weight.dense = counting(6 * codec::scalar_bytes(type), 60);
  return weight;
}

inline ModelFile sample_model() {
  ModelFile file;
  file.architecture = "transformer_lm";
  file.options_json = R"({"decoder-layers":2,"dropout":0.1,"tied":true})";
  file.history_json = R"({"stages":["fc","emb"]})";
  file.weights["decoder.embed_tokens.weight"] = product_weight();
  file.weights["decoder.embed_tokens.weight"].zero_row = 1;
  file.weights["fc1.weight"] = product_weight_int8();
  for (int bits = 2; bits <= 8; ++bits)
    file.weights["int" + std::to_string(bits) + ".weight"] = affine_weight(bits);
  file.weights["int4.weight"].affine_axis = -1;
  file.weights["int4.weight"].scales = {0.25f};
  file.weights["int4.weight"].zero_points = {7};
  file.weights["dense.weight"] = dense_weight(codec::ScalarType::kF32);
  file.weights["half.weight"] = dense_weight(codec::ScalarType::kF16);
  file.weights["bf16.weight"] = dense_weight(codec::ScalarType::kBF16);
  file.tensors["norm.bias"] = {codec::ScalarType::kF32, {5}, counting(20)};
  file.tensors["position"] = {codec::ScalarType::kI64, {}, counting(8)};
  file.tensors["empty"] = {codec::ScalarType::kI8, {0, 3}, {}};
  file.tensors["odd"] = {codec::ScalarType::kU8, {3}, counting(3)};
  file.ties["decoder.output_projection.weight"] = "decoder.embed_tokens.weight";
  file.activations.mode = ActivationMode::kStatic;
  file.activations.layers["fc1"] = {8, 0.1f, 128};
  file.activations.layers["decoder.layers.0.self_attn.q_proj"] = {4, 0x1p-126f, 15};
  file.blobs["dictionary"] = counting(100);
  file.blobs["tokenizer"] = {};
  return file;
}

/// The sample as a file.
inline const std::string& sample_bytes() {
  static const std::string kBytes = [] {
    const quantnoise::test::TemporaryFolder folder;
    write_model_file(folder.file("m.qn"), sample_model());
    return base::read_text_file(folder.file("m.qn"));
  }();
  return kBytes;
}

/// The three parts of a safetensors file, taken apart without the reader under test.
struct RawFile {
  nlohmann::json header;
  std::string data;
  uint64_t header_length = 0;

  nlohmann::json manifest() const {
    return nlohmann::json::parse(header["__metadata__"]["quantnoise"].get<std::string>());
  }
  void set_manifest(const nlohmann::json& manifest) {
    header["__metadata__"]["quantnoise"] = manifest.dump();
  }
  std::string tensor(const std::string& name) const {
    const auto& offsets = header.at(name).at("data_offsets");
    return data.substr(offsets[0].get<size_t>(), offsets[1].get<size_t>() - offsets[0].get<size_t>());
  }
};

inline RawFile take_apart(const std::string& bytes) {
  RawFile raw;
  std::memcpy(&raw.header_length, bytes.data(), 8);
  raw.header = nlohmann::json::parse(bytes.substr(8, raw.header_length));
  raw.data = bytes.substr(8 + raw.header_length);
  return raw;
}

/// Header text padded with spaces to a multiple of 64, then the data.
inline std::string put_together(std::string header_text, const std::string& data) {
  while ((header_text.size() + 8) % 64 != 0) header_text += ' ';
  const uint64_t length = header_text.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes + header_text + data;
}

inline std::string put_together(const RawFile& raw) { return put_together(raw.header.dump(), raw.data); }

}  // namespace quantnoise::pack::test
