#pragma once
// The model file: safetensors with one JSON manifest under the metadata key "quantnoise"
// (docs/file-format.md). It holds models, compressed models and, with training tensors beside the weights,
// checkpoints.

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "quantnoise/codec/packed_weight.h"

namespace quantnoise::pack {

inline constexpr int kFormatVersion = 1;

/// Names of tensors that only training needs start so ("training.optimizer.…"); a file of kind "model" has
/// none.
inline constexpr std::string_view kTrainingPrefix = "training.";

/// A tensor that is not a layer's weight: norm, bias, optimizer state, dictionary bytes, random state.
struct RawTensor {
  codec::ScalarType type = codec::ScalarType::kF32;
  std::vector<int64_t> shape;
  codec::ByteBlock data;
};

/// How the inputs of a model's matrix products are quantized (docs/file-format.md).
enum class ActivationMode {
  kNone,     ///< not at all
  kStatic,   ///< with the ranges of the file
  kDynamic,  ///< every row of an input with its own range, found when it is there
};

/// The affine grid of one layer's input: value = scale · (code − zero point).
struct ActivationGrid {
  int bits = 8;            ///< 2 … 8
  float scale = 1;         ///< at least 2^-126; not used by kDynamic
  int32_t zero_point = 0;  ///< 0 … 2^bits − 1; not used by kDynamic
};

struct Activations {
  ActivationMode mode = ActivationMode::kNone;
  /// By layer name (`decoder.layers.0.fc1`); inputs of layers that are not here are not quantized.
  std::map<std::string, ActivationGrid> layers;
};

/// The whole content of a file. Keys are canonical names (`decoder.layers.0.fc1.weight`).
struct ModelFile {
  int format_version = kFormatVersion;
  std::string kind = "model";       ///< "model" or "checkpoint"
  std::string architecture;         ///< name in the table of architectures, e.g. "transformer_lm"
  std::string options_json = "{}";  ///< the architecture's options: one JSON object
  std::map<std::string, codec::PackedWeight> weights;
  std::map<std::string, RawTensor> tensors;
  /// Alias → canonical name: `decoder.output_projection.weight` → `decoder.embed_tokens.weight`.
  std::map<std::string, std::string> ties;
  std::string history_json = "{}";   ///< noise and stage history, list of noised tensors: one JSON object
  std::string training_json = "{}";  ///< checkpoints: counters, options; one JSON object
  std::map<std::string, codec::ByteBlock>
      blobs;  ///< "dictionary", "tokenizer": byte tensors used where they are mapped
  Activations activations;
  int64_t num_bytes = 0;  ///< of the file that this was read from; 0 when it was made in memory
};

/// What the bytes of a file are spent on. Sums to file_bytes.
struct SizeReport {
  uint64_t file_bytes = 0;
  uint64_t header_bytes = 0;
  uint64_t code_bytes = 0;
  uint64_t centroid_bytes = 0;
  uint64_t affine_bytes = 0;  ///< codes, scales and zero points of int-N weights
  uint64_t dense_bytes = 0;
  uint64_t blob_bytes = 0;
  uint64_t training_bytes = 0;
  uint64_t padding_bytes = 0;
};

/// Maps the file and checks all of it: lengths, offsets, overlaps, gaps, sizes, the manifest. Weights point
/// into the map. Codes are not walked: codec::unpack_product checks that they lie below num_centroids.
/// Errors: kIo; kFormat names the file, what was found, what was expected (foreign files are recognized by
/// name).
ModelFile read_model_file(const std::string& path);

/// The same from memory that starts at a multiple of 64; `name` stands for the path in messages.
ModelFile parse_model_file(const codec::ByteBlock& bytes, const std::string& name);

/// Writes atomically. Returns the report. Errors: kIo; kInternal for content that contradicts itself (sizes,
/// ties, names). Whatever was at `path` survives a failure.
SizeReport write_model_file(const std::string& path, const ModelFile& file);

/// Errors: as read_model_file.
SizeReport size_report(const std::string& path);

/// The manifest as the file holds it: one JSON object (docs/file-format.md). Errors: as read_model_file.
std::string manifest_json(const std::string& path);

/// Writes plain fp32 safetensors that any reader opens: all weights decoded, ties written out under every
/// name. Tensors of integers stay as they are; blobs and training state are left out. Errors: kIo, and those
/// of decoding.
void write_plain_safetensors(const std::string& path, const ModelFile& file);

}  // namespace quantnoise::pack
