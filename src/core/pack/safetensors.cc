#include "core/pack/safetensors.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "core/pack/json_text.h"
#include "quantnoise/base/checked.h"
#include "quantnoise/base/file_kind.h"

namespace quantnoise::pack {

namespace {

using codec::ScalarType;
using nlohmann::json;

constexpr uint64_t kLengthBytes = 8;
constexpr int kHeaderDepth = 3;
constexpr const char* kMetadataKey = "__metadata__";

constexpr std::pair<const char*, ScalarType> kTypes[] = {
    {"F32", ScalarType::kF32}, {"F16", ScalarType::kF16}, {"BF16", ScalarType::kBF16},
    {"I8", ScalarType::kI8},   {"U8", ScalarType::kU8},   {"I32", ScalarType::kI32},
    {"I64", ScalarType::kI64},
};

void refuse_foreign(std::span<const std::byte> bytes) {
  const base::FileKind kind = base::recognize_bytes(bytes);
  if (kind == base::FileKind::kSafetensors || kind == base::FileKind::kUnknown) return;
  throw Error(ErrorKind::kFormat, str_cat("this is ", base::describe(kind), ", expected a safetensors file"),
              base::hint_for(kind));
}

// The length of the JSON header, checked against the file.
uint64_t header_length(std::span<const std::byte> bytes) {
  QN_REQUIRE(bytes.size() > kLengthBytes, ErrorKind::kFormat, "found ", bytes.size(),
             " bytes, expected at least a header length of ", kLengthBytes, " bytes and a header");
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), kLengthBytes);
  QN_REQUIRE(bytes[kLengthBytes] == std::byte{'{'}, ErrorKind::kFormat,
             "this is not a safetensors file: no JSON header at byte ", kLengthBytes);
  QN_REQUIRE(length <= kMaxHeaderBytes, ErrorKind::kFormat, "header length: found ", length,
             ", expected at most ", kMaxHeaderBytes);
  QN_REQUIRE(length <= bytes.size() - kLengthBytes, ErrorKind::kFormat, "truncated: the header has ", length,
             " bytes, the file only ", bytes.size() - kLengthBytes, " after the header length");
  return length;
}

void check_name(const std::string& name) {
  const bool clean =
      std::none_of(name.begin(), name.end(), [](char c) { return c >= 0 && (c < 0x20 || c == 0x7f); });
  QN_REQUIRE(!name.empty() && clean, ErrorKind::kFormat, "header: found ", json(name).dump(),
             " as a tensor's name, expected text without control characters");
}

TensorEntry parse_entry(const json& value, const std::string& name) {
  const JsonObject object(value, str_cat("tensor ", name));
  object.allow_only({"dtype", "shape", "data_offsets"});
  TensorEntry entry;
  entry.type = parse_type(object.text("dtype"), object.place());
  entry.shape = object.integers("shape", kMaxRank);
  const std::vector<int64_t> offsets = object.integers("data_offsets", 2);
  QN_REQUIRE(offsets.size() == 2, ErrorKind::kFormat, object.place(), ": data_offsets: found ",
             offsets.size(), " numbers, expected begin and end");
  entry.begin = static_cast<uint64_t>(offsets[0]);
  entry.end = static_cast<uint64_t>(offsets[1]);
  QN_REQUIRE(entry.begin <= entry.end, ErrorKind::kFormat, object.place(), ": data_offsets: found begin ",
             entry.begin, " after end ", entry.end);
  const uint64_t expected = tensor_bytes(entry.shape, entry.type, object.place());
  QN_REQUIRE(entry.end - entry.begin == expected, ErrorKind::kFormat, object.place(), ": found ",
             entry.end - entry.begin, " bytes, expected ", expected, " for ", type_name(entry.type),
             " of shape [", join(entry.shape, ", "), "]");
  QN_REQUIRE(entry.begin % static_cast<uint64_t>(codec::scalar_bytes(entry.type)) == 0, ErrorKind::kFormat,
             object.place(), ": found offset ", entry.begin, ", expected a multiple of ",
             codec::scalar_bytes(entry.type));
  return entry;
}

// Comes before the tensors: of somebody else's file the missing key is what matters, not the first type
// unknown here.
std::map<std::string, std::string> parse_metadata(const json& header, const std::string& required_key) {
  std::map<std::string, std::string> metadata;
  if (header.contains(kMetadataKey)) {
    const JsonObject object(header[kMetadataKey], kMetadataKey);
    for (const auto& [key, item] : object.value().items()) metadata[key] = object.text(key);
  }
  if (!metadata.contains(required_key)) {
    throw Error(ErrorKind::kFormat,
                str_cat("this is a plain safetensors file: its metadata has no key '", required_key, "'"),
                "model files are written by qn train and qn quantize");
  }
  return metadata;
}

// The tensors must tile the data exactly: no overlap, no gap, nothing behind.
void check_layout(const Container& container) {
  std::vector<std::pair<const std::string*, const TensorEntry*>> in_order;
  for (const auto& [name, entry] : container.tensors) in_order.emplace_back(&name, &entry);
  std::sort(in_order.begin(), in_order.end(), [](const auto& a, const auto& b) {
    return std::pair(a.second->begin, a.second->end) < std::pair(b.second->begin, b.second->end);
  });
  const uint64_t data_bytes = container.file.bytes.size() - container.header_bytes;
  uint64_t position = 0;
  std::string previous = "the header";
  for (const auto& [name, entry] : in_order) {
    QN_REQUIRE(entry->begin >= position, ErrorKind::kFormat, "tensor ", *name, ": begins at ", entry->begin,
               " and overlaps ", previous, ", which ends at ", position);
    QN_REQUIRE(entry->begin == position, ErrorKind::kFormat, "gap of ", entry->begin - position,
               " bytes between ", previous, " and tensor ", *name);
    QN_REQUIRE(entry->end <= data_bytes, ErrorKind::kFormat, "truncated: tensor ", *name, " ends at ",
               entry->end, ", the data has ", data_bytes, " bytes");
    position = entry->end;
    previous = str_cat("tensor ", *name);
  }
  QN_REQUIRE(position == data_bytes, ErrorKind::kFormat, "found ", data_bytes - position,
             " trailing bytes after the last tensor, expected none");
}

}  // namespace

const char* type_name(ScalarType type) {
  for (const auto& [name, known] : kTypes) {
    if (known == type) return name;
  }
  return "?";
}

ScalarType parse_type(const std::string& name, const std::string& place) {
  std::vector<std::string> known;
  for (const auto& [known_name, type] : kTypes) {
    if (name == known_name) return type;
    known.push_back(known_name);
  }
  throw Error(ErrorKind::kFormat,
              str_cat(place, ": dtype: found '", name, "', expected one of ", join(known, ", ")));
}

uint64_t tensor_bytes(const std::vector<int64_t>& shape, ScalarType type, const std::string& what) {
  auto bytes = static_cast<uint64_t>(codec::scalar_bytes(type));
  for (const int64_t extent : shape) bytes = base::checked_mul(bytes, static_cast<uint64_t>(extent), what);
  QN_REQUIRE(bytes <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max()), ErrorKind::kFormat, what,
             ": ", bytes, " bytes do not fit in 63 bits");
  return bytes;
}

codec::ByteBlock Container::data_of(const TensorEntry& entry) const {
  return {file.bytes.subspan(header_bytes + entry.begin, entry.end - entry.begin), file.owner};
}

Container parse_container(const codec::ByteBlock& file, const std::string& required_key) {
  refuse_foreign(file.bytes);
  const uint64_t length = header_length(file.bytes);
  const std::string_view text(reinterpret_cast<const char*>(file.bytes.data()) + kLengthBytes, length);
  const json header = parse_json_object(text, kHeaderDepth, "header");
  Container container;
  container.file = file;
  container.header_bytes = kLengthBytes + length;
  container.metadata = parse_metadata(header, required_key);
  QN_REQUIRE(container.header_bytes % kAlignment == 0, ErrorKind::kFormat, "header length: found ", length,
             ", expected data that starts at a multiple of ", kAlignment);
  for (const auto& [name, value] : header.items()) {
    if (name == kMetadataKey) continue;
    check_name(name);
    container.tensors.emplace(name, parse_entry(value, name));
  }
  check_layout(container);
  return container;
}

}  // namespace quantnoise::pack
