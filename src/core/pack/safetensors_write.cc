#include <algorithm>
#include <cstring>
#include <tuple>

#include "core/pack/json_text.h"
#include "core/pack/safetensors.h"
#include "quantnoise/base/checked.h"
#include "quantnoise/base/file.h"

namespace quantnoise::pack {

namespace {

using nlohmann::json;

constexpr uint64_t kLengthBytes = 8;

void sort_for_file(std::vector<OutgoingTensor>& tensors) {
  const auto key = [](const OutgoingTensor& tensor) {
    return std::tuple(!tensor.padded, -codec::scalar_bytes(tensor.type), std::string_view(tensor.name));
  };
  std::sort(tensors.begin(), tensors.end(),
            [&](const OutgoingTensor& a, const OutgoingTensor& b) { return key(a) < key(b); });
}

// Length field, JSON, and spaces up to the next multiple of 64.
std::string encode_header(const std::vector<OutgoingTensor>& tensors,
                          const std::map<std::string, std::string>& metadata) {
  json header = {{"__metadata__", metadata}};
  uint64_t position = 0;
  for (const OutgoingTensor& tensor : tensors) {
    const uint64_t end =
        base::checked_add(position, tensor_bytes(tensor.shape, tensor.type, tensor.name), tensor.name);
    json entry = {
        {"dtype", type_name(tensor.type)}, {"shape", tensor.shape}, {"data_offsets", {position, end}}};
    QN_REQUIRE(!header.contains(tensor.name), ErrorKind::kInternal, "tensor ", tensor.name,
               " is written twice");
    header[tensor.name] = std::move(entry);
    position = end;
  }
  std::string text = dump_json(header);
  text.resize(
      static_cast<size_t>(base::round_up(static_cast<int64_t>(kLengthBytes + text.size()), kAlignment)) -
          kLengthBytes,
      ' ');
  QN_REQUIRE(text.size() <= kMaxHeaderBytes, ErrorKind::kFailed, "the header would have ", text.size(),
             " bytes, allowed are ", kMaxHeaderBytes);
  const uint64_t length = text.size();
  std::string field(kLengthBytes, '\0');
  std::memcpy(field.data(), &length, kLengthBytes);
  return field + text;
}

void write_tensor(base::AtomicFile& file, const OutgoingTensor& tensor) {
  const codec::ByteBlock data = tensor.load();
  const uint64_t stored = tensor_bytes(tensor.shape, tensor.type, tensor.name);
  const uint64_t padding = stored - data.bytes.size();
  QN_REQUIRE(tensor.padded ? padding < kAlignment : padding == 0, ErrorKind::kInternal, "tensor ",
             tensor.name, ": found ", data.bytes.size(), " bytes, expected ", stored);
  file.write(data.bytes);
  file.write(std::string(padding, '\0'));
}

}  // namespace

WrittenSizes write_container(const std::string& path, std::vector<OutgoingTensor> tensors,
                             const std::map<std::string, std::string>& metadata) {
  sort_for_file(tensors);
  const std::string header = encode_header(tensors, metadata);
  base::AtomicFile file(path);
  file.write(header);
  for (const OutgoingTensor& tensor : tensors) write_tensor(file, tensor);
  file.commit();
  return {file.size(), header.size()};
}

}  // namespace quantnoise::pack
