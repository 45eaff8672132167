// The reader of model files, and what is done with a file that it accepts: weights are unpacked and
// multiplied.
//
// The first byte of an input says what the others are. 'f': a file. Otherwise a line with the manifest, a
// line with the table of tensors (the header without its metadata), and the data: the header is put together
// here, with its length and padding, so that mutations get past the container to what the manifest means.

#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <string_view>

#include "fuzz_target.h"
#include "quantnoise/codec/packed_weight.h"
#include "quantnoise/pack/model_file.h"
#include "quantnoise/runtime/product_matrix.h"

namespace quantnoise {
namespace {

constexpr size_t kAlignment = 64;
// A few bytes of codes may stand for a huge matrix, rightly so; unpacking those would only test the
// allocator.
constexpr int64_t kMaxElements = 1 << 20;

/// Memory as a mapped file has it: aligned, and not a byte more than the file, so that sanitizers see a read
/// beyond it.
codec::ByteBlock aligned_block(std::string_view bytes) {
  auto* memory = static_cast<std::byte*>(::operator new (bytes.size() + 1, std::align_val_t{kAlignment}));
  // The byte more is one in front of nothing: new(0) may give a null pointer under some allocators.
  if (!bytes.empty()) std::memcpy(memory, bytes.data(), bytes.size());
  const std::shared_ptr<const void> owner(
      memory, [](const void* p) { ::operator delete (const_cast<void*>(p), std::align_val_t{kAlignment}); });
  return {{memory, bytes.size()}, owner};
}

void append_json_string(std::string_view text, std::string& out) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  out += '"';
}

std::string cut_line(std::string_view& text) {
  const size_t end = text.find('\n');
  const std::string line(text.substr(0, end));
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return line;
}

std::string put_together(std::string_view parts) {
  const std::string manifest = cut_line(parts);
  const std::string table = cut_line(parts);
  std::string header = R"({"__metadata__":{"quantnoise":)";
  append_json_string(manifest, header);
  header += '}';
  header += table.size() > 2 ? ',' + table.substr(1) : "}";
  while ((sizeof(uint64_t) + header.size()) % kAlignment != 0) header += ' ';
  const uint64_t length = header.size();
  std::string file(sizeof(length), '\0');
  std::memcpy(file.data(), &length, sizeof(length));
  return file.append(header).append(parts);
}

void require_within(const codec::ByteBlock& part, const codec::ByteBlock& file) {
  if (part.bytes.empty()) return;
  fuzz::require(part.bytes.data() >= file.bytes.data() &&
                    part.bytes.data() + part.bytes.size() <= file.bytes.data() + file.bytes.size(),
                "a tensor beyond the file");
}

void use_weight(const codec::PackedWeight& weight) {
  if (weight.numel() > kMaxElements) return;
  try {
    const std::vector<float> values = codec::unpack_to_float(weight);
    fuzz::require(static_cast<int64_t>(values.size()) == weight.numel(), "a weight of another size");
  } catch (const Error& error) {
    fuzz::require_honest(error);
  }
  if (weight.scheme != codec::Scheme::kProduct) return;
  try {
    const runtime::ProductMatrix matrix(weight);
    const std::vector<float> x(static_cast<size_t>(3 * matrix.cols()), 0.5f);
    std::vector<float> y(static_cast<size_t>(3 * matrix.rows()));
    const auto first = [](auto& values, int64_t count) {
      return std::span(values.data(), static_cast<size_t>(count));
    };
    matrix.multiply(first(x, matrix.cols()), 1, {}, first(y, matrix.rows()), {});
    matrix.multiply(x, 3, {}, y, {.arithmetic = runtime::Arithmetic::kFast});
  } catch (const Error& error) {
    fuzz::require_honest(error);
  }
}

void read_file(std::string_view bytes) {
  const codec::ByteBlock block = aligned_block(bytes);
  pack::ModelFile file;
  try {
    file = pack::parse_model_file(block, "input");
  } catch (const Error& error) {
    fuzz::require_honest(error);
    fuzz::require(error.kind() == ErrorKind::kFormat, "bad bytes are an error of the format");
    return;
  }
  for (const auto& [name, tensor] : file.tensors) require_within(tensor.data, block);
  for (const auto& [name, blob] : file.blobs) require_within(blob, block);
  for (const auto& [name, weight] : file.weights) {
    for (const codec::ByteBlock* part : {&weight.dense, &weight.codes, &weight.centroids})
      require_within(*part, block);
    use_weight(weight);
  }
}

}  // namespace
}  // namespace quantnoise

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] == 'f') {
    quantnoise::read_file(rest);
  } else {
    quantnoise::read_file(quantnoise::put_together(rest));
  }
  return 0;
}
