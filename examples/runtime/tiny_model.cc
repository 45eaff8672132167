// Writes a model file without any training: a small transformer_lm with random weights, some of them
// compressed to product codes, and a dictionary. What another program that makes models would do.
//   tiny_model FILE
#include <quantnoise/codec/product.h>
#include <quantnoise/pack/model_file.h>
#include <quantnoise/text/dictionary.h>

#include <cstdio>
#include <random>
#include <span>
#include <string>
#include <vector>

namespace qn = quantnoise;

namespace {

constexpr int64_t kDim = 32, kInner = 64, kLayers = 2;

std::vector<float> random_values(int64_t count, float spread) {
  static std::mt19937 random(1);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = (static_cast<float>(random() >> 8) / 8388608.0f - 1) * spread;
  return values;
}

qn::codec::ByteBlock bytes_of(std::span<const std::byte> bytes) {
  return qn::codec::ByteBlock::own({bytes.begin(), bytes.end()});
}

void add_vector(qn::pack::ModelFile& file, const std::string& name, int64_t size, float value) {
  const std::vector<float> values(static_cast<size_t>(size), value);
  file.tensors[name] = {qn::codec::ScalarType::kF32, {size}, bytes_of(std::as_bytes(std::span(values)))};
}

void add_norm(qn::pack::ModelFile& file, const std::string& name) {
  add_vector(file, name + ".weight", kDim, 1);
  add_vector(file, name + ".bias", kDim, 0);
}

/// Blocks of 8 weights become one of 16 centroids.
void add_linear(qn::pack::ModelFile& file, const std::string& name, int64_t rows, int64_t cols) {
  qn::codec::KMeansOptions options;
  options.num_centroids = 16;
  const auto matrix = qn::codec::quantize_product(random_values(rows * cols, 0.3f), rows, cols, 8, options,
                                                  qn::base::SerialFor());
  file.weights[name + ".weight"] = qn::codec::pack_product(matrix, {rows, cols});
  add_vector(file, name + ".bias", rows, 0);
}

qn::text::Dictionary words() {
  qn::text::Dictionary dictionary;
  for (const char* word :
       {"the",  "of",  "and",    "a",     "in",      "light",   "water", "earth",  "day", "night",
        "good", "was", "called", "there", "evening", "morning", "first", "second", ",",   "."})
    dictionary.add_symbol(word);
  return dictionary;
}

void fill(qn::pack::ModelFile& file) {
  const qn::text::Dictionary dictionary = words();
  const int64_t vocabulary = dictionary.size();
  file.architecture = "transformer_lm";
  file.options_json = R"({"vocab_size":)" + std::to_string(vocabulary) +
                      R"(,"decoder_embed_dim":32,"decoder_ffn_embed_dim":64,"decoder_layers":2,)"
                      R"("decoder_attention_heads":4,"max_target_positions":64,)"
                      R"("share_decoder_input_output_embed":true})";
  // The output layer is the embedding: one weight, two names.
  auto& embedding = file.weights["decoder.embed_tokens.weight"];
  embedding = qn::codec::pack_dense(random_values(vocabulary * kDim, 0.5f), {vocabulary, kDim});
  embedding.zero_row = qn::text::kPad;
  file.ties["decoder.output_projection.weight"] = "decoder.embed_tokens.weight";
  for (int64_t layer = 0; layer < kLayers; ++layer) {
    const std::string name = "decoder.layers." + std::to_string(layer) + ".";
    for (const char* projection : {"q_proj", "k_proj", "v_proj", "out_proj"})
      add_linear(file, name + "self_attn." + projection, kDim, kDim);
    add_linear(file, name + "fc1", kInner, kDim);
    add_linear(file, name + "fc2", kDim, kInner);
    add_norm(file, name + "self_attn_layer_norm");
    add_norm(file, name + "final_layer_norm");
  }
  file.blobs["dictionary"] = qn::codec::ByteBlock::own(qn::text::dictionary_to_bytes(dictionary));
  file.blobs["tokenizer"] = bytes_of(std::as_bytes(std::span("words", 5)));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s FILE\n", argv[0]);
    return 2;
  }
  try {
    qn::pack::ModelFile file;
    fill(file);
    const auto report = qn::pack::write_model_file(argv[1], file);
    std::printf("%s: %llu bytes, %llu of them codes\n", argv[1],
                static_cast<unsigned long long>(report.file_bytes),
                static_cast<unsigned long long>(report.code_bytes));
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
