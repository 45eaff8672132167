#include <cstring>
#include <limits>

#include "core/pack/json_text.h"
#include "core/pack/manifest.h"

namespace quantnoise::pack {

namespace {

using codec::PackedWeight;
using codec::ScalarType;
using codec::Scheme;
using nlohmann::json;

constexpr int kManifestDepth = 32;
constexpr int64_t kMaxInt = std::numeric_limits<int>::max();
constexpr int64_t kMaxCount = std::numeric_limits<int64_t>::max();

// Hands out the container's tensors, each once; what nobody takes is a tensor beside the weights.
class TensorPool {
 public:
  explicit TensorPool(const Container& container) : container_(container), left_(container.tensors) {}

  TensorEntry take(const std::string& name, const std::string& owner) {
    const auto found = left_.find(name);
    QN_REQUIRE(found != left_.end(), ErrorKind::kFormat, owner, ": tensor ", name,
               container_.tensors.contains(name) ? " belongs to two owners" : " is missing");
    TensorEntry entry = std::move(found->second);
    left_.erase(found);
    return entry;
  }

  codec::ByteBlock data(const TensorEntry& entry) const { return container_.data_of(entry); }
  const std::map<std::string, TensorEntry>& left() const { return left_; }

 private:
  const Container& container_;
  std::map<std::string, TensorEntry> left_;
};

void require_type(const TensorEntry& entry, ScalarType expected, const std::string& name) {
  QN_REQUIRE(entry.type == expected, ErrorKind::kFormat, "tensor ", name, ": found dtype ",
             type_name(entry.type), ", expected ", type_name(expected));
}

void require_shape(const TensorEntry& entry, const std::vector<int64_t>& expected, const std::string& name) {
  QN_REQUIRE(entry.shape == expected, ErrorKind::kFormat, "tensor ", name, ": found shape [",
             join(entry.shape, ", "), "], expected [", join(expected, ", "), "]");
}

// A byte tensor that starts at a multiple of 64 and is longer than its content by less than 64.
codec::ByteBlock take_padded(TensorPool& pool, const std::string& name, int64_t num_bytes,
                             const std::string& owner) {
  const TensorEntry entry = pool.take(name, owner);
  require_type(entry, ScalarType::kU8, name);
  const int64_t limit = static_cast<int64_t>(entry.end - entry.begin);
  QN_REQUIRE(num_bytes <= limit && padded_bytes(num_bytes) == limit && entry.shape.size() == 1,
             ErrorKind::kFormat, "tensor ", name, ": found shape [", join(entry.shape, ", "), "], expected ",
             num_bytes, " bytes rounded up to a multiple of ", kAlignment);
  QN_REQUIRE(entry.begin % kAlignment == 0, ErrorKind::kFormat, "tensor ", name, ": found offset ",
             entry.begin, ", expected a multiple of ", kAlignment);
  codec::ByteBlock data = pool.data(entry);
  data.bytes = data.bytes.first(static_cast<size_t>(num_bytes));
  return data;
}

template <typename T>
std::vector<T> take_vector(TensorPool& pool, const std::string& name, ScalarType type,
                           const std::string& owner) {
  const TensorEntry entry = pool.take(name, owner);
  require_type(entry, type, name);
  QN_REQUIRE(entry.shape.size() == 1, ErrorKind::kFormat, "tensor ", name, ": found ", entry.shape.size(),
             " dimensions, expected 1");
  const codec::ByteBlock data = pool.data(entry);
  std::vector<T> values(data.bytes.size() / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), data.bytes.data(), data.bytes.size());
  return values;
}

void read_dense(const JsonObject& record, const std::string& name, TensorPool& pool, PackedWeight& weight) {
  record.allow_only({"scheme", "shape", "zero_row"});
  const TensorEntry entry = pool.take(name, record.place());
  require_shape(entry, weight.shape, name);
  weight.dense_type = entry.type;
  weight.dense = pool.data(entry);
}

void read_product(const JsonObject& record, const std::string& name, TensorPool& pool, PackedWeight& weight) {
  record.allow_only({"scheme", "shape", "zero_row", "block_size", "num_centroids", "code_bits", "tile_rows",
                     "code_bytes", "centroid_scale"});
  weight.scheme = Scheme::kProduct;
  weight.block_size = static_cast<int>(record.integer("block_size", 1, kMaxInt));
  weight.num_centroids = static_cast<int>(record.integer("num_centroids", 1, 65536));
  weight.code_bits = static_cast<int>(record.integer("code_bits", 1, 16));
  weight.order.tile_rows = static_cast<int>(record.integer("tile_rows", 1, kMaxInt));
  weight.codes =
      take_padded(pool, codes_name(name), record.integer("code_bytes", 0, kMaxCount), record.place());
  const std::string centroids = centroids_name(name);
  const TensorEntry entry = pool.take(centroids, record.place());
  require_shape(entry, {weight.num_centroids, weight.block_size}, centroids);
  weight.centroid_type = entry.type;
  weight.centroids = pool.data(entry);
  const bool has_scale = record.has("centroid_scale");
  QN_REQUIRE(!has_scale || entry.type == ScalarType::kI8, ErrorKind::kFormat, record.place(),
             ": centroid_scale: found beside centroids that are not I8");
  if (entry.type == ScalarType::kI8)
    weight.centroid_scale = static_cast<float>(record.number("centroid_scale"));
}

void read_affine(const JsonObject& record, const std::string& name, TensorPool& pool, PackedWeight& weight) {
  record.allow_only({"scheme", "shape", "zero_row", "code_bits", "code_bytes", "axis"});
  weight.scheme = Scheme::kAffine;
  weight.code_bits = static_cast<int>(record.integer("code_bits", 2, 8));
  weight.affine_axis = static_cast<int>(record.integer("axis", -1, kMaxRank - 1));
  weight.codes =
      take_padded(pool, codes_name(name), record.integer("code_bytes", 0, kMaxCount), record.place());
  weight.scales = take_vector<float>(pool, scales_name(name), ScalarType::kF32, record.place());
  const std::vector<uint8_t> zero_points =
      take_vector<uint8_t>(pool, zero_points_name(name), ScalarType::kU8, record.place());
  weight.zero_points.assign(zero_points.begin(), zero_points.end());
}

PackedWeight read_weight(const JsonObject& record, const std::string& name, TensorPool& pool) {
  PackedWeight weight;
  weight.shape = record.integers("shape", kMaxRank);
  if (record.has("zero_row")) weight.zero_row = record.integer("zero_row", 0, kMaxCount);
  const std::string scheme = record.text("scheme");
  if (scheme == "dense") {
    read_dense(record, name, pool, weight);
  } else if (scheme == "product") {
    read_product(record, name, pool, weight);
  } else if (scheme == "affine") {
    read_affine(record, name, pool, weight);
  } else {
    throw Error(ErrorKind::kFormat, str_cat(record.place(), ": scheme: found '", scheme,
                                            "', expected one of dense, product, affine"));
  }
  return weight;
}

ActivationMode read_activation_mode(const JsonObject& record) {
  const std::string found = record.text("mode");
  for (const ActivationMode mode :
       {ActivationMode::kNone, ActivationMode::kStatic, ActivationMode::kDynamic}) {
    if (found == activation_mode_name(mode)) return mode;
  }
  throw Error(ErrorKind::kFormat,
              str_cat(record.place(), ": mode: found '", found, "', expected one of none, static, dynamic"));
}

Activations read_activations(const JsonObject& record) {
  record.allow_only({"mode", "layers"});
  Activations activations;
  activations.mode = read_activation_mode(record);
  const JsonObject layers = record.object("layers");
  for (const auto& [name, value] : layers.value().items()) {
    const JsonObject layer(value, str_cat("activations of ", name));
    ActivationGrid grid;
    grid.bits = static_cast<int>(layer.integer("bits", 2, 8));
    if (activations.mode == ActivationMode::kStatic) {
      layer.allow_only({"bits", "scale", "zero_point"});
      grid.scale = static_cast<float>(layer.number("scale"));
      grid.zero_point = static_cast<int32_t>(layer.integer("zero_point", 0, (1 << grid.bits) - 1));
    } else {
      layer.allow_only({"bits"});
    }
    activations.layers.emplace(name, grid);
  }
  return activations;
}

int read_version(const JsonObject& manifest) {
  const int64_t version = manifest.integer("format_version", 0, kMaxInt);
  if (version != kFormatVersion) {
    throw Error(ErrorKind::kFormat, str_cat("format version: found ", version, ", expected ", kFormatVersion),
                version > kFormatVersion ? "a newer quantnoise wrote this file" : "");
  }
  return kFormatVersion;
}

}  // namespace

ModelFile assemble(const Container& container) {
  const json parsed = parse_json_object(container.metadata.at(kManifestKey), kManifestDepth, "manifest");
  const JsonObject manifest(parsed, "manifest");
  ModelFile file;
  // First: what else may be wrong with a file of another version is not for this reader to say.
  file.format_version = read_version(manifest);
  manifest.allow_only({"format_version", "kind", "architecture", "options", "weights", "ties", "history",
                       "training", "blobs", "activations"});
  file.kind = manifest.text("kind");
  file.architecture = manifest.text("architecture");
  file.options_json = dump_json(manifest.object("options").value());
  // Absent from the files of models that quantize none.
  if (manifest.has("activations")) file.activations = read_activations(manifest.object("activations"));
  file.history_json = dump_json(manifest.object("history").value());
  file.training_json = dump_json(manifest.object("training").value());

  TensorPool pool(container);
  const JsonObject weights = manifest.object("weights");
  for (const auto& [name, record] : weights.value().items()) {
    file.weights.emplace(name, read_weight(JsonObject(record, str_cat("weight ", name)), name, pool));
  }
  const JsonObject blobs = manifest.object("blobs");
  for (const auto& [name, record] : blobs.value().items()) {
    const JsonObject blob(record, str_cat("blob ", name));
    blob.allow_only({"bytes"});
    file.blobs.emplace(name,
                       take_padded(pool, blob_name(name), blob.integer("bytes", 0, kMaxCount), blob.place()));
  }
  const JsonObject ties = manifest.object("ties");
  for (const auto& [alias, target] : ties.value().items()) file.ties.emplace(alias, ties.text(alias));
  for (const auto& [name, entry] : pool.left()) {
    file.tensors.emplace(name, RawTensor{entry.type, entry.shape, pool.data(entry)});
  }
  return file;
}

}  // namespace quantnoise::pack
