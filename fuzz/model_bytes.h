#pragma once
// Bytes of a model file from the bytes of a fuzzing input. An input is 'f' and a whole file, or another byte
// and a file in parts: a line with the manifest, a line with the table of tensors (the header without its
// metadata), and the data. The header of the second form is put together here, with its length and padding,
// so that mutations get past the container to what the manifest means.

#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <string_view>

#include "quantnoise/codec/packed_weight.h"

namespace quantnoise::fuzz {

inline constexpr size_t kFileAlignment = 64;

inline void append_json_string(std::string_view text, std::string& out) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  out += '"';
}

inline std::string cut_line(std::string_view& text) {
  const size_t end = text.find('\n');
  const std::string line(text.substr(0, end));
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return line;
}

inline std::string put_together(std::string_view parts) {
  const std::string manifest = cut_line(parts);
  const std::string table = cut_line(parts);
  std::string header = R"({"__metadata__":{"quantnoise":)";
  append_json_string(manifest, header);
  header += '}';
  header += table.size() > 2 ? ',' + table.substr(1) : "}";
  while ((sizeof(uint64_t) + header.size()) % kFileAlignment != 0) header += ' ';
  const uint64_t length = header.size();
  std::string file(sizeof(length), '\0');
  std::memcpy(file.data(), &length, sizeof(length));
  return file.append(header).append(parts);
}

/// The file, in memory as a mapped file has it: aligned, and not a byte more, so that sanitizers see a read
/// beyond it.
inline codec::ByteBlock file_of_input(const uint8_t* data, size_t size) {
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::string whole = data[0] == 'f' ? std::string(rest) : put_together(rest);
  auto* memory = static_cast<std::byte*>(::operator new (whole.size() + 1, std::align_val_t{kFileAlignment}));
  // The byte more is one in front of nothing: new(0) may give a null pointer under some allocators.
  if (!whole.empty()) std::memcpy(memory, whole.data(), whole.size());
  const std::shared_ptr<const void> owner(memory, [](const void* p) {
    ::operator delete (const_cast<void*>(p), std::align_val_t{kFileAlignment});
  });
  return {{memory, whole.size()}, owner};
}

}  // namespace quantnoise::fuzz
