// The reader of model files, unpacking of what it read, and products with it. Inputs: model_bytes.h.

#include <string>

#include "fuzz_target.h"
#include "model_bytes.h"
#include "quantnoise/codec/packed_weight.h"
#include "quantnoise/pack/model_file.h"
#include "quantnoise/runtime/product_matrix.h"

namespace quantnoise {
namespace {

// A few bytes of codes may stand for a huge matrix, rightly so; unpacking those would only test the
// allocator.
constexpr int64_t kMaxElements = 1 << 20;

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

void read_file(const codec::ByteBlock& block) {
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
  if (size > 0) quantnoise::read_file(quantnoise::fuzz::file_of_input(data, size));
  return 0;
}
