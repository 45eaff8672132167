#include <span>

#include "core/pack/json_text.h"
#include "core/pack/manifest.h"
#include "quantnoise/base/checked.h"

namespace quantnoise::pack {

namespace {

using codec::PackedWeight;
using codec::ScalarType;
using codec::Scheme;
using nlohmann::json;

// Our own JSON texts may be deeper than what fits between two levels of the manifest only by mistake.
constexpr int kSectionDepth = 30;

json section(const std::string& text, const std::string& what) {
  try {
    return parse_json_object(text, kSectionDepth, what);
  } catch (const Error& error) {
    throw Error(ErrorKind::kInternal, error.what());
  }
}

json weight_record(const PackedWeight& weight) {
  json record = {{"shape", weight.shape}};
  if (weight.zero_row >= 0) record["zero_row"] = weight.zero_row;
  switch (weight.scheme) {
    case Scheme::kDense:
      record["scheme"] = "dense";
      break;
    case Scheme::kProduct:
      record["scheme"] = "product";
      record["block_size"] = weight.block_size;
      record["num_centroids"] = weight.num_centroids;
      record["code_bits"] = weight.code_bits;
      record["tile_rows"] = weight.order.tile_rows;
      record["code_bytes"] = weight.codes.bytes.size();
      if (weight.centroid_type == ScalarType::kI8) record["centroid_scale"] = weight.centroid_scale;
      break;
    case Scheme::kAffine:
      record["scheme"] = "affine";
      record["code_bits"] = weight.code_bits;
      record["code_bytes"] = weight.codes.bytes.size();
      record["axis"] = weight.affine_axis;
      break;
  }
  return record;
}

json activation_record(const Activations& activations) {
  json layers = json::object();
  for (const auto& [name, grid] : activations.layers) {
    json& record = layers[name] = {{"bits", grid.bits}};
    if (activations.mode != ActivationMode::kStatic) continue;
    record["scale"] = grid.scale;
    record["zero_point"] = grid.zero_point;
  }
  return {{"mode", activation_mode_name(activations.mode)}, {"layers", std::move(layers)}};
}

// Bytes of the vector, which the caller keeps alive.
template <typename T>
codec::ByteBlock borrow(const std::vector<T>& values) {
  return {std::as_bytes(std::span(values)), nullptr};
}

codec::ByteBlock zero_point_bytes(const std::vector<int32_t>& zero_points) {
  std::vector<std::byte> bytes;
  for (const int32_t zero_point : zero_points) bytes.push_back(static_cast<std::byte>(zero_point));
  return codec::ByteBlock::own(std::move(bytes));
}

OutgoingTensor padded_tensor(std::string name, const codec::ByteBlock& data) {
  const auto size = static_cast<int64_t>(data.bytes.size());
  return {std::move(name), ScalarType::kU8, {padded_bytes(size)}, true, [data] { return data; }};
}

OutgoingTensor plain_tensor(std::string name, ScalarType type, std::vector<int64_t> shape,
                            codec::ByteBlock data) {
  return {std::move(name), type, std::move(shape), false, [data] { return data; }};
}

void add_weight(std::vector<OutgoingTensor>& tensors, const std::string& name, const PackedWeight& weight) {
  switch (weight.scheme) {
    case Scheme::kDense:
      tensors.push_back(plain_tensor(name, weight.dense_type, weight.shape, weight.dense));
      break;
    case Scheme::kProduct:
      tensors.push_back(padded_tensor(codes_name(name), weight.codes));
      tensors.push_back(plain_tensor(centroids_name(name), weight.centroid_type,
                                     {weight.num_centroids, weight.block_size}, weight.centroids));
      break;
    case Scheme::kAffine: {
      const auto count = static_cast<int64_t>(weight.scales.size());
      tensors.push_back(padded_tensor(codes_name(name), weight.codes));
      tensors.push_back(plain_tensor(scales_name(name), ScalarType::kF32, {count}, borrow(weight.scales)));
      tensors.push_back(plain_tensor(zero_points_name(name), ScalarType::kU8, {count},
                                     zero_point_bytes(weight.zero_points)));
      break;
    }
  }
}

}  // namespace

std::string codes_name(const std::string& weight) { return weight + ".codes"; }
std::string centroids_name(const std::string& weight) { return weight + ".centroids"; }
std::string scales_name(const std::string& weight) { return weight + ".scales"; }
std::string zero_points_name(const std::string& weight) { return weight + ".zero_points"; }
const char* activation_mode_name(ActivationMode mode) {
  switch (mode) {
    case ActivationMode::kNone:
      return "none";
    case ActivationMode::kStatic:
      return "static";
    case ActivationMode::kDynamic:
      return "dynamic";
  }
  return "";
}

std::string blob_name(const std::string& blob) { return "blobs." + blob; }

int64_t padded_bytes(int64_t num_bytes) { return base::round_up(num_bytes, kAlignment); }

std::string build_manifest(const ModelFile& file) {
  json weights = json::object();
  for (const auto& [name, weight] : file.weights) weights[name] = weight_record(weight);
  json blobs = json::object();
  for (const auto& [name, blob] : file.blobs) blobs[name] = {{"bytes", blob.bytes.size()}};
  json manifest = {
      {"format_version", file.format_version},
      {"kind", file.kind},
      {"architecture", file.architecture},
      {"options", section(file.options_json, "options")},
      {"weights", std::move(weights)},
      {"ties", file.ties},
      {"history", section(file.history_json, "history")},
      {"training", section(file.training_json, "training")},
      {"blobs", std::move(blobs)},
  };
  if (file.activations.mode != ActivationMode::kNone) {
    manifest["activations"] = activation_record(file.activations);
  }
  return dump_json(manifest);
}

std::vector<OutgoingTensor> outgoing_tensors(const ModelFile& file) {
  std::vector<OutgoingTensor> tensors;
  for (const auto& [name, weight] : file.weights) add_weight(tensors, name, weight);
  for (const auto& [name, tensor] : file.tensors) {
    tensors.push_back(plain_tensor(name, tensor.type, tensor.shape, tensor.data));
  }
  for (const auto& [name, blob] : file.blobs) tensors.push_back(padded_tensor(blob_name(name), blob));
  return tensors;
}

}  // namespace quantnoise::pack
