#pragma once
// The safetensors container, without any idea of models: an 8-byte header length, a JSON header that names
// the tensors, and their bytes without a gap.

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "quantnoise/codec/packed_weight.h"

namespace quantnoise::pack {

/// The limit of the format's own reader.
inline constexpr uint64_t kMaxHeaderBytes = 100'000'000;
inline constexpr int64_t kAlignment = 64;
inline constexpr size_t kMaxRank = 8;

/// "F32", "BF16" …
const char* type_name(codec::ScalarType type);
/// Errors: kFormat for a type that is not known here.
codec::ScalarType parse_type(const std::string& name, const std::string& place);

/// shape × type by checked arithmetic; kFormat naming `what` when it does not fit in 63 bits.
uint64_t tensor_bytes(const std::vector<int64_t>& shape, codec::ScalarType type, const std::string& what);

struct TensorEntry {
  codec::ScalarType type = codec::ScalarType::kF32;
  std::vector<int64_t> shape;
  uint64_t begin = 0;  ///< offsets in the data, which follows the header
  uint64_t end = 0;
};

struct Container {
  codec::ByteBlock file;
  uint64_t header_bytes = 0;  ///< with the length field: where the data begins
  std::map<std::string, TensorEntry> tensors;
  std::map<std::string, std::string> metadata;

  codec::ByteBlock data_of(const TensorEntry& entry) const;
};

/// Checks everything there is to check without knowing what the tensors mean. required_key: a key the
/// metadata must have. Errors: kFormat.
Container parse_container(const codec::ByteBlock& file, const std::string& required_key);

/// A tensor on its way to a file.
struct OutgoingTensor {
  std::string name;
  codec::ScalarType type = codec::ScalarType::kF32;
  std::vector<int64_t> shape;
  bool padded =
      false;  ///< a byte tensor that starts at a multiple of 64 and whose shape was rounded up to one
  /// Its bytes, asked for once, in file order; zeros follow up to the size of shape × type.
  std::function<codec::ByteBlock()> load;
};

struct WrittenSizes {
  uint64_t file_bytes = 0;
  uint64_t header_bytes = 0;
};

/// Padded tensors first, then the others by falling element size; by name among equals. Atomic. Errors: kIo;
/// kInternal for a name given twice.
WrittenSizes write_container(const std::string& path, std::vector<OutgoingTensor> tensors,
                             const std::map<std::string, std::string>& metadata);

}  // namespace quantnoise::pack
