// Writes the inputs that fuzzing starts from: small files of every kind that the readers take, and lines of
// text.
//   fuzz_corpus FOLDER      fills FOLDER/<target> for every target

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "quantnoise/base/file.h"
#include "quantnoise/base/random.h"
#include "quantnoise/codec/affine.h"
#include "quantnoise/pack/model_file.h"
#include "quantnoise/runtime/language_model.h"
#include "quantnoise/text/dictionary.h"
#include "quantnoise/text/indexed_dataset.h"

namespace quantnoise {
namespace {

class Corpus {
 public:
  explicit Corpus(const std::string& folder) : folder_(folder) { base::make_directories(folder_); }

  void add(const std::string& name, const std::string& input) const {
    base::write_text_file(folder_ + "/" + name, input);
  }
  std::string scratch(const std::string& name) const { return folder_ + "/" + name + ".scratch"; }

 private:
  std::string folder_;
};

std::vector<float> values(int64_t count, uint64_t seed) {
  base::SequentialRandom random(seed);
  std::vector<float> result(static_cast<size_t>(count));
  for (float& value : result) value = random.uniform() - 0.5f;
  return result;
}

codec::PackedWeight product(std::vector<int64_t> shape, int block_size, int num_centroids) {
  codec::ProductMatrix matrix;
  matrix.rows = shape[0];
  matrix.cols = shape[1];
  matrix.block_size = block_size;
  matrix.num_centroids = num_centroids;
  matrix.centroids = values(int64_t{num_centroids} * block_size, 2);
  base::SequentialRandom random(3);
  for (int64_t i = 0; i < matrix.rows * matrix.blocks_per_row(); ++i)
    matrix.codes.push_back(static_cast<uint16_t>(random.below(static_cast<uint64_t>(num_centroids))));
  return codec::pack_product(matrix, std::move(shape));
}

codec::PackedWeight affine(std::vector<int64_t> shape, int bits, int axis) {
  const std::vector<codec::AffineRange> ranges(axis < 0 ? 1 : static_cast<size_t>(shape[0]), {-1, 1});
  const codec::AffineGrid grid = codec::affine_grid(ranges, bits, false, axis);
  const std::vector<float> dense = values(shape[0] * shape[1], 4);
  return codec::pack_affine(dense, std::move(shape), grid, base::SerialFor());
}

codec::PackedWeight dense(std::vector<int64_t> shape, codec::ScalarType type) {
  const std::vector<float> elements = values(shape[0] * shape[1], 5);
  return codec::pack_dense(elements, std::move(shape), type);
}

pack::ModelFile model_with(const std::string& name, codec::PackedWeight weight) {
  pack::ModelFile file;
  file.architecture = "transformer_lm";
  file.weights[name] = std::move(weight);
  return file;
}

pack::ModelFile model_with_everything() {
  pack::ModelFile file = model_with("decoder.embed_tokens.weight", product({6, 8}, 4, 5));
  file.options_json = R"({"decoder-layers":2,"dropout":0.1,"tied":true})";
  file.history_json = R"({"stages":["fc"]})";
  file.weights["decoder.embed_tokens.weight"].zero_row = 1;
  file.weights["fc1.weight"] = affine({3, 4}, 4, 0);
  file.weights["fc2.weight"] = dense({2, 3}, codec::ScalarType::kF16);
  file.tensors["norm.bias"] = {
      codec::ScalarType::kF32, {5}, codec::ByteBlock::own(std::vector<std::byte>(20))};
  file.tensors["empty"] = {codec::ScalarType::kI8, {0, 3}, {}};
  file.ties["decoder.output_projection.weight"] = "decoder.embed_tokens.weight";
  file.activations.mode = pack::ActivationMode::kStatic;
  file.activations.layers["fc1"] = {8, 0.1f, 128};
  file.blobs["dictionary"] = codec::ByteBlock::own(text::dictionary_to_bytes(text::Dictionary()));
  return file;
}

/// The file, and the file in parts: manifest, table of tensors, data (model_file_fuzz.cc).
void add_model(const Corpus& corpus, const std::string& name, const pack::ModelFile& file) {
  const std::string path = corpus.scratch(name);
  pack::write_model_file(path, file);
  const std::string bytes = base::read_text_file(path);
  const std::string manifest = pack::manifest_json(path);
  std::filesystem::remove(path);
  corpus.add(name + ".file", "f" + bytes);
  uint64_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof(length));
  const std::string header = bytes.substr(sizeof(length), length);
  // Keys are in alphabetical order, so the metadata comes first; its text ends with the manifest's brace, a
  // quote and its own brace.
  const std::string metadata_end = "}\"},";
  const size_t table = header.find(metadata_end, manifest.size());
  std::string entries = "{" + header.substr(table + metadata_end.size());
  entries.resize(entries.find_last_not_of(' ') + 1);
  corpus.add(name + ".parts", "p" + manifest + "\n" + entries + "\n" + bytes.substr(sizeof(length) + length));
}

void write_model_files(const Corpus& corpus) {
  add_model(corpus, "everything", model_with_everything());
  add_model(corpus, "pq8", model_with("w", product({65, 16}, 8, 256)));
  add_model(corpus, "pq4_odd", model_with("w", product({3, 18}, 9, 16)));
  add_model(corpus, "pq_9_bits", model_with("w", product({4, 8}, 2, 300)));
  add_model(corpus, "pq_one", model_with("w", product({2, 4}, 4, 1)));
  for (const int bits : {2, 3, 5, 8})
    add_model(corpus, "int" + std::to_string(bits), model_with("w", affine({3, 5}, bits, bits % 2 - 1)));
  add_model(corpus, "f32", model_with("w", dense({2, 2}, codec::ScalarType::kF32)));
  add_model(corpus, "bf16", model_with("w", dense({2, 2}, codec::ScalarType::kBF16)));
  pack::ModelFile checkpoint = model_with_everything();
  checkpoint.kind = "checkpoint";
  checkpoint.training_json = R"({"updates":3})";
  checkpoint.tensors["training.state"] = {
      codec::ScalarType::kI64, {}, codec::ByteBlock::own(std::vector<std::byte>(8))};
  add_model(corpus, "checkpoint", checkpoint);
  for (const char* start : {"PK\x03\x04", "GGUF", "\x89HDF\r\n", "version https://git-lfs", "<html>", ""})
    corpus.add("foreign_" + std::to_string(start[0]), std::string("f") + start);
}

/// A language model of one layer whose weights come from `weight`. options: the number of layers that it
/// stands for, then others.
template <typename Weight>
pack::ModelFile language_model(const std::string& options, const Weight& weight) {
  constexpr int64_t kDim = 8, kHidden = 16;
  pack::ModelFile file;
  file.architecture = "transformer_lm";
  file.options_json = R"({"vocab_size":12,"decoder_embed_dim":8,"decoder_ffn_embed_dim":16,)"
                      R"("decoder_attention_heads":2,"max_target_positions":10,"decoder_layers":)" +
                      options + "}";
  const auto add_vector = [&](const std::string& name, int64_t count) {
    const std::vector<float> numbers = values(count, 6);
    const auto* bytes = reinterpret_cast<const std::byte*>(numbers.data());
    file.tensors[name] = {codec::ScalarType::kF32,
                          {count},
                          codec::ByteBlock::own({bytes, bytes + numbers.size() * sizeof(float)})};
  };
  const auto add_linear = [&](const std::string& name, int64_t in, int64_t out) {
    file.weights[name + ".weight"] = weight({out, in});
    add_vector(name + ".bias", out);
  };
  const std::string layer = "decoder.layers.0.";
  for (const char* name : {"q_proj", "k_proj", "v_proj", "out_proj"})
    add_linear(layer + "self_attn." + name, kDim, kDim);
  add_linear(layer + "fc1", kDim, kHidden);
  add_linear(layer + "fc2", kHidden, kDim);
  for (const std::string& norm : {layer + "self_attn_layer_norm", layer + "final_layer_norm"}) {
    add_vector(norm + ".weight", kDim);
    add_vector(norm + ".bias", kDim);
  }
  text::Dictionary words;
  while (words.size() < 12) words.add_symbol("w" + std::to_string(words.size()));
  file.blobs["dictionary"] = codec::ByteBlock::own(text::dictionary_to_bytes(words));
  file.blobs["tokenizer"] =
      codec::ByteBlock::own({std::byte{'s'}, std::byte{'p'}, std::byte{'a'}, std::byte{'c'}, std::byte{'e'}});
  return file;
}

/// The same with one table for input and output.
template <typename Weight>
pack::ModelFile tied_model(const std::string& options, const Weight& weight) {
  pack::ModelFile file = language_model(options + R"(,"share_decoder_input_output_embed":true)", weight);
  file.weights["decoder.embed_tokens.weight"] = weight({12, 8});
  file.ties["decoder.output_projection.weight"] = "decoder.embed_tokens.weight";
  return file;
}

/// Three bands, all tables and projections tied.
template <typename Weight>
pack::ModelFile adaptive_model(const Weight& weight) {
  pack::ModelFile file = language_model(
      R"(1,"adaptive_input":true,"adaptive_input_cutoff":[4,8],"adaptive_input_factor":2,)"
      R"("adaptive_softmax_cutoff":[4,8],"adaptive_softmax_factor":2,"tie_adaptive_weights":true,)"
      R"("tie_adaptive_proj":true)",
      weight);
  const std::string input = "decoder.embed_tokens.embeddings.", output = "decoder.adaptive_softmax.";
  const int64_t widths[] = {8, 4, 2};
  for (int i = 0; i < 3; ++i) {
    const std::string band = input + std::to_string(i);
    file.weights[band + ".0.weight"] = weight({4, widths[i]});
    file.weights[band + ".1.weight"] = weight({8, widths[i]});
    if (i == 0) continue;
    const std::string tail = output + "tail." + std::to_string(i - 1);
    file.ties[tail + ".0.weight"] = band + ".1.weight";
    file.ties[tail + ".2.weight"] = band + ".0.weight";
  }
  file.ties[output + "head.word_proj.weight"] = input + "0.0.weight";
  file.weights[output + "head.class_proj.weight"] = weight({2, 8});
  return file;
}

/// Errors: those of loading. A seed that is no model would have nothing tested but its refusal.
void add_language_model(const Corpus& corpus, const std::string& name, const pack::ModelFile& file) {
  runtime::LanguageModel::from_file(file, name);
  add_model(corpus, name, file);
}

void write_language_models(const Corpus& corpus) {
  using Shape = std::vector<int64_t>;
  const auto fp32 = [](const Shape& shape) { return dense(shape, codec::ScalarType::kF32); };
  const auto int4 = [](const Shape& shape) { return affine(shape, 4, 0); };
  const auto int8 = [](const Shape& shape) { return affine(shape, 8, -1); };
  const auto pq = [](const Shape& shape) { return product(shape, 2, 16); };
  add_language_model(corpus, "fp32", tied_model("1", fp32));
  add_language_model(corpus, "int4_prenorm",
                     tied_model(R"(1,"no_decoder_final_norm":true,"decoder_normalize_before":true)", int4));
  add_language_model(corpus, "pq_repeated", tied_model(R"(3,"share_layers":3)", pq));
  add_language_model(corpus, "adaptive_pq", adaptive_model(pq));
  add_language_model(corpus, "adaptive_fp32", adaptive_model(fp32));
  pack::ModelFile learned = language_model(R"(1,"decoder_learned_pos":true,"activation_fn":"gelu")", int8);
  learned.weights["decoder.embed_tokens.weight"] = int8({12, 8});
  learned.weights["decoder.output_projection.weight"] = int8({12, 8});
  learned.weights["decoder.embed_positions.weight"] = int8({12, 8});
  for (const auto mode : {pack::ActivationMode::kStatic, pack::ActivationMode::kDynamic}) {
    learned.activations.mode = mode;
    for (const char* layer :
         {"decoder.layers.0.fc1", "decoder.layers.0.self_attn.q_proj", "decoder.output_projection"})
      learned.activations.layers[layer] = {8, 0.05f, 100};
    add_language_model(corpus, mode == pack::ActivationMode::kStatic ? "int8_static" : "int8_dynamic",
                       learned);
  }
}

void write_configurations(const Corpus& corpus) {
  corpus.add(
      "recipe",
      "r# a recipe\ntask: language_modeling\nadam_betas: (0.9, 0.98)\nlr: [1e-3, 1e-4]\nupdate-freq:\n  - 1\n"
      "  - 2\nfp16: true\nsave-dir: \"a: b\"\n");
  corpus.add("recipe_bad", "rlr: 1\n--lr: 2\ntask: {a: 1}\nx: !!python/object 3\n");
  corpus.add("recipe_anchors", "rtask: &a text\nother: *a\nlist: [*a, *a]\n");
  corpus.add("quantization",
             "qn_centroids:\n  Linear:\n    key: in_features\n    value: {\"*\": 256, \"512\": 16}\n  "
             "Embedding: {key: embedding_dim, "
             "value: {\"*\": 256}}\nblock_sizes:\n  Linear: {key: fuzzy_name, value: {fc: 8, attn: 4, emb: "
             "4}}\n  Conv2d: {key: "
             "kernel_size, value: {\"(3, 3)\": 9, \"(1, 1)\": 4}}\nlayers_to_quantize:\n  - "
             "decoder\\.layers\\.\\d+\\.fc[12]\n  - "
             "decoder\\.layers\\.\\d+\\.self_attn\\.(k_proj|v_proj)\n");
  corpus.add("quantization_bad", "qn_centroids: {Linear: {key: x}}\nlayers_to_quantize: ['((']\n");
  corpus.add("empty", "q");
}

void write_dictionaries(const Corpus& corpus) {
  const std::string lines = "the 100\nof 50\nl'été 7\n日本 3\na b 2\nthe 9 #fairseq:overwrite\n";
  corpus.add("dict", "d" + lines);
  corpus.add("dict_bad", "dthe 100\nthe 5\nx\ny -1\nz 99999999999999999999\n");
  for (const std::string& text : {lines, std::string()}) {
    const std::vector<std::byte> bytes = text::dictionary_to_bytes(text::Dictionary::parse(text, "seed"));
    corpus.add("view" + std::to_string(text.size()),
               "v" + std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  }
}

void write_binarized(const Corpus& corpus) {
  for (const text::TokenType type :
       {text::TokenType::kUint16, text::TokenType::kInt32, text::TokenType::kInt64}) {
    const std::string prefix = corpus.scratch("data");
    text::IndexedDatasetWriter writer(prefix, type);
    writer.add(std::vector<int64_t>{4, 5, 6, 2});
    writer.add(std::vector<int64_t>{});
    writer.add(std::vector<int64_t>{7, 2});
    writer.finish();
    const std::string index = base::read_text_file(prefix + ".idx");
    const auto length = static_cast<uint16_t>(index.size());
    std::string input = "b";
    input.append(reinterpret_cast<const char*>(&length), sizeof(length));
    corpus.add("binarized" + std::to_string(static_cast<int>(type)),
               input + index + base::read_text_file(prefix + ".bin"));
    std::filesystem::remove(prefix + ".idx");
    std::filesystem::remove(prefix + ".bin");
  }
}

void write_lines(const Corpus& corpus) {
  const char* lines[] = {"the quick brown fox , and a dog .",
                         "He said: \"I don't know; it's $3.14 (or 1,000)\"... -- 3:16 U.S.A.",
                         "l'été à l'œuvre \xe2\x80\x94 \xc2\xab oui \xc2\xbb",
                         "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e text \xf0\x9f\x98\x80",
                         "\xff\xfe \xc0\x80 \xed\xa0\x80 \xf4\x90\x80\x80 \xe2\x82",
                         "\xe2\x80\x83\xe3\x80\x80\t\v\f \x1c\x1f",
                         "....-----''''\"\"\"\"",
                         "MOSES 's ''tis rock 'n' roll"};
  int number = 0;
  for (const char* line : lines) corpus.add("line" + std::to_string(number++), std::string("t") + line);
}

}  // namespace
}  // namespace quantnoise

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
    return 2;
  }
  const std::string folder = argv[1];
  quantnoise::write_model_files(quantnoise::Corpus(folder + "/model_file"));
  quantnoise::write_language_models(quantnoise::Corpus(folder + "/language_model"));
  quantnoise::write_configurations(quantnoise::Corpus(folder + "/config"));
  const quantnoise::Corpus text(folder + "/text");
  quantnoise::write_dictionaries(text);
  quantnoise::write_binarized(text);
  quantnoise::write_lines(text);
  return 0;
}
