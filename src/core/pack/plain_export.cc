#include <cstring>
#include <span>

#include "core/pack/manifest.h"
#include "quantnoise/base/error.h"
#include "quantnoise/codec/half.h"

namespace quantnoise::pack {

namespace {

using codec::ScalarType;

codec::ByteBlock own_floats(const std::vector<float>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return codec::ByteBlock::own({bytes.begin(), bytes.end()});
}

bool is_half(ScalarType type) { return type == ScalarType::kF16 || type == ScalarType::kBF16; }

std::vector<float> widen(const RawTensor& tensor) {
  std::vector<float> values(tensor.data.bytes.size() / sizeof(uint16_t));
  for (size_t i = 0; i < values.size(); ++i) {
    uint16_t bits = 0;
    std::memcpy(&bits, tensor.data.bytes.data() + i * sizeof(bits), sizeof(bits));
    values[i] = tensor.type == ScalarType::kF16 ? codec::half_to_float(bits) : codec::bf16_to_float(bits);
  }
  return values;
}

// Decoded when its turn comes: one weight at a time is in memory.
OutgoingTensor export_weight(const std::string& name, const codec::PackedWeight& weight) {
  const auto decode = [&weight, name] {
    try {
      return own_floats(codec::unpack_to_float(weight));
    } catch (Error& error) {
      throw error.in("weight " + name);
    }
  };
  return {name, ScalarType::kF32, weight.shape, false, decode};
}

OutgoingTensor export_tensor(std::string name, const RawTensor& tensor) {
  if (!is_half(tensor.type))
    return {std::move(name), tensor.type, tensor.shape, false, [&tensor] { return tensor.data; }};
  return {std::move(name), ScalarType::kF32, tensor.shape, false,
          [&tensor] { return own_floats(widen(tensor)); }};
}

}  // namespace

void write_plain_safetensors(const std::string& path, const ModelFile& file) {
  check_model_file(file, ErrorKind::kInternal);
  std::vector<OutgoingTensor> tensors;
  for (const auto& [name, weight] : file.weights) tensors.push_back(export_weight(name, weight));
  for (const auto& [name, tensor] : file.tensors) {
    if (!name.starts_with(kTrainingPrefix)) tensors.push_back(export_tensor(name, tensor));
  }
  for (const auto& [alias, target] : file.ties) {
    const auto weight = file.weights.find(target);
    if (weight != file.weights.end()) {
      tensors.push_back(export_weight(alias, weight->second));
    } else if (!target.starts_with(kTrainingPrefix)) {
      tensors.push_back(export_tensor(alias, file.tensors.at(target)));
    }
  }
  write_container(path, std::move(tensors), {{"format", "pt"}});
}

}  // namespace quantnoise::pack
