#include <algorithm>
#include <cmath>
#include <set>

#include "core/pack/manifest.h"
#include "quantnoise/base/checked.h"

namespace quantnoise::pack {

namespace {

using codec::PackedWeight;
using codec::ScalarType;
using codec::Scheme;

// Far beyond any real weight, and small enough that numel × bits cannot overflow.
constexpr int64_t kMaxElements = int64_t{1} << 48;
constexpr int kTileMultiple = 64;
constexpr int kMaxTileRows = 1 << 20;

// Checks one part of a file after the other; every failure names the part.
class Checker {
 public:
  explicit Checker(ErrorKind kind) : kind_(kind) {}

  void check_weight(const std::string& name, const PackedWeight& weight) const {
    const std::string place = str_cat("weight ", name);
    check_shape(place, weight);
    switch (weight.scheme) {
      case Scheme::kDense:
        return check_dense(place, weight);
      case Scheme::kProduct:
        return check_product(place, weight);
      case Scheme::kAffine:
        return check_affine(place, weight);
    }
  }

  void check_tensor(const std::string& name, const RawTensor& tensor) const {
    require(
        std::all_of(tensor.shape.begin(), tensor.shape.end(), [](int64_t extent) { return extent >= 0; }) &&
            tensor.shape.size() <= kMaxRank,
        "tensor ", name, ": shape: found [", join(tensor.shape, ", "), "]");
    expect_bytes(str_cat("tensor ", name), "data", tensor.data,
                 tensor_bytes(tensor.shape, tensor.type, name));
  }

  void check_names(const ModelFile& file) const {
    std::set<std::string> names;
    const auto claim = [&](const std::string& name) {
      require(!name.empty() && name != "__metadata__", "found '", name, "' as a tensor's name");
      require(names.insert(name).second, "tensor ", name, ": two parts of the file have this name");
    };
    for (const auto& [name, weight] : file.weights) {
      require(!name.empty(), "found a weight without a name");
      const std::vector<std::string> parts = part_names(name, weight);
      for (const std::string& part : parts) claim(part);
      if (std::find(parts.begin(), parts.end(), name) == parts.end()) claim(name);
    }
    for (const auto& [name, tensor] : file.tensors) claim(name);
    for (const auto& [name, blob] : file.blobs) claim(blob_name(name));
  }

  void check_ties(const ModelFile& file) const {
    const auto exists = [&](const std::string& name) {
      return file.weights.contains(name) || file.tensors.contains(name);
    };
    for (const auto& [alias, target] : file.ties) {
      require(!exists(alias), "tie ", alias, ": a tensor of this name is stored, too");
      if (exists(target)) continue;
      require(!in_cycle(file, alias), "tie ", alias, ": its chain of ties ends where it begins");
      require(!file.ties.contains(target), "tie ", alias, ": found ", target,
              ", another tie, expected the canonical name");
      fail(str_cat("tie ", alias, ": found the unknown name ", target, ", expected a stored tensor"));
    }
  }

  void check_activations(const Activations& activations) const {
    const char* mode = activation_mode_name(activations.mode);
    require((activations.mode == ActivationMode::kNone) == activations.layers.empty(), "activations: found ",
            activations.layers.size(), " layers for the mode ", mode);
    for (const auto& [name, grid] : activations.layers) {
      require(!name.empty(), "activations: found a layer without a name");
      const std::string place = str_cat("activations of ", name);
      check_affine_bits(place, "bits", grid.bits);
      check_scale(place, "scale", grid.scale);
      check_zero_point(place, "zero_point", grid.zero_point, grid.bits);
    }
  }

  void check_kind(const ModelFile& file) const {
    require(file.format_version == kFormatVersion, "format version: found ", file.format_version,
            ", expected ", kFormatVersion);
    require(file.kind == "model" || file.kind == "checkpoint", "kind: found '", file.kind,
            "', expected model or checkpoint");
    if (file.kind == "checkpoint") return;
    for (const auto& [name, tensor] : file.tensors) {
      require(!name.starts_with(kTrainingPrefix), "tensor ", name,
              ": a file of kind model holds no training state");
    }
  }

 private:
  template <typename... Args>
  void require(bool condition, const Args&... args) const {
    if (!condition) fail(str_cat(args...));
  }
  [[noreturn]] void fail(const std::string& message) const { throw Error(kind_, message); }

  void expect_bytes(const std::string& place, const char* what, const codec::ByteBlock& data,
                    uint64_t expected) const {
    require(data.bytes.size() == expected, place, ": ", what, ": found ", data.bytes.size(),
            " bytes, expected ", expected);
  }

  void check_shape(const std::string& place, const PackedWeight& weight) const {
    const std::string found = str_cat(place, ": shape: found [", join(weight.shape, ", "), "], expected ");
    require(!weight.shape.empty() && weight.shape.size() <= kMaxRank, found, "1 to ", kMaxRank,
            " dimensions");
    int64_t numel = 1;
    for (const int64_t extent : weight.shape) {
      require(extent >= 1, found, "dimensions of at least 1");
      require(extent <= kMaxElements / numel, found, "at most 2^48 elements");
      numel *= extent;
    }
    require(weight.zero_row >= -1 && weight.zero_row < weight.shape[0], place, ": zero_row: found ",
            weight.zero_row, ", expected a row below ", weight.shape[0]);
  }

  void check_dense(const std::string& place, const PackedWeight& weight) const {
    const bool floating = weight.dense_type == ScalarType::kF32 || weight.dense_type == ScalarType::kF16 ||
                          weight.dense_type == ScalarType::kBF16;
    require(floating, place, ": found dtype ", type_name(weight.dense_type), ", expected F32, F16 or BF16");
    expect_bytes(place, "elements", weight.dense, tensor_bytes(weight.shape, weight.dense_type, place));
  }

  void check_codes(const std::string& place, const PackedWeight& weight, int64_t count) const {
    expect_bytes(place, str_cat("codes of ", weight.code_bits, " bits").c_str(), weight.codes,
                 static_cast<uint64_t>(base::ceil_div(count * weight.code_bits, 8)));
  }

  void check_product(const std::string& place, const PackedWeight& weight) const {
    require(weight.num_centroids >= 1 && weight.num_centroids <= 65536, place, ": num_centroids: found ",
            weight.num_centroids, ", expected 1 to 65536");
    const int bits = codec::code_bits_for(weight.num_centroids);
    require(weight.code_bits == bits, place, ": code_bits: found ", weight.code_bits, ", expected ", bits,
            " for ", weight.num_centroids, " centroids");
    const int tile_rows = weight.order.tile_rows;
    require(tile_rows >= kTileMultiple && tile_rows % kTileMultiple == 0 && tile_rows <= kMaxTileRows, place,
            ": tile_rows: found ", tile_rows, ", expected a multiple of ", kTileMultiple, " up to ",
            kMaxTileRows);
    require(weight.block_size >= 1 && weight.cols() % weight.block_size == 0, place, ": block_size: found ",
            weight.block_size, ", expected a divisor of ", weight.cols());
    check_codes(place, weight, weight.numel() / weight.block_size);
    require(weight.centroid_type == ScalarType::kF16 || weight.centroid_type == ScalarType::kI8, place,
            ": centroids: found dtype ", type_name(weight.centroid_type), ", expected F16 or I8");
    require(std::isfinite(weight.centroid_scale) && weight.centroid_scale >= 0, place,
            ": centroid_scale: found ", weight.centroid_scale, ", expected a finite number");
    expect_bytes(place, "centroids", weight.centroids,
                 tensor_bytes({weight.num_centroids, weight.block_size}, weight.centroid_type, place));
  }

  void check_affine_bits(const std::string& place, const char* what, int bits) const {
    require(bits >= 2 && bits <= 8, place, ": ", what, ": found ", bits, ", expected 2 to 8");
  }

  void check_scale(const std::string& place, const char* what, float scale) const {
    require(std::isfinite(scale) && scale >= 0x1p-126f, place, ": ", what, ": found ", scale,
            ", expected a finite number of at least 2^-126");
  }

  void check_zero_point(const std::string& place, const char* what, int32_t zero_point, int bits) const {
    require(zero_point >= 0 && zero_point < 1 << bits, place, ": ", what, ": found ", zero_point,
            ", expected 0 to ", (1 << bits) - 1);
  }

  void check_affine(const std::string& place, const PackedWeight& weight) const {
    check_affine_bits(place, "code_bits", weight.code_bits);
    const auto rank = static_cast<int>(weight.shape.size());
    require(weight.affine_axis >= -1 && weight.affine_axis < rank, place, ": axis: found ",
            weight.affine_axis, ", expected -1 (per tensor) or a dimension, less than ", rank);
    check_codes(place, weight, weight.numel());
    const size_t count = weight.affine_axis < 0
                             ? 1
                             : static_cast<size_t>(weight.shape[static_cast<size_t>(weight.affine_axis)]);
    require(weight.scales.size() == count, place, ": scales: found ", weight.scales.size(), ", expected ",
            count);
    require(weight.zero_points.size() == count, place, ": zero_points: found ", weight.zero_points.size(),
            ", expected ", count);
    for (const float scale : weight.scales) check_scale(place, "scales", scale);
    for (const int32_t zero_point : weight.zero_points) {
      check_zero_point(place, "zero_points", zero_point, weight.code_bits);
    }
  }

  static std::vector<std::string> part_names(const std::string& name, const PackedWeight& weight) {
    switch (weight.scheme) {
      case Scheme::kDense:
        return {name};
      case Scheme::kProduct:
        return {codes_name(name), centroids_name(name)};
      case Scheme::kAffine:
        return {codes_name(name), scales_name(name), zero_points_name(name)};
    }
    return {};
  }

  // Whether following ties from `alias` leads back to a tie already seen.
  static bool in_cycle(const ModelFile& file, const std::string& alias) {
    std::set<std::string> seen;
    auto tie = file.ties.find(alias);
    while (tie != file.ties.end()) {
      if (!seen.insert(tie->first).second) return true;
      tie = file.ties.find(tie->second);
    }
    return false;
  }

  ErrorKind kind_;
};

}  // namespace

void check_model_file(const ModelFile& file, ErrorKind kind) {
  const Checker checker(kind);
  checker.check_kind(file);
  for (const auto& [name, weight] : file.weights) checker.check_weight(name, weight);
  for (const auto& [name, tensor] : file.tensors) checker.check_tensor(name, tensor);
  checker.check_names(file);
  checker.check_ties(file);
  checker.check_activations(file.activations);
}

}  // namespace quantnoise::pack
