#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../base/temporary_folder.h"
#include "quantnoise/base/error.h"
#include "quantnoise/codec/product.h"
#include "sample_model.h"

namespace quantnoise::pack {
namespace {

using quantnoise::test::TemporaryFolder;
using test::counting;
using test::sample_model;
using test::take_apart;
using ::testing::HasSubstr;

std::string text_of(const codec::ByteBlock& block) {
  return {reinterpret_cast<const char*>(block.bytes.data()), block.bytes.size()};
}

void expect_equal(const codec::PackedWeight& a, const codec::PackedWeight& b, const std::string& name) {
  EXPECT_EQ(a.scheme, b.scheme) << name;
  EXPECT_EQ(a.shape, b.shape) << name;
  EXPECT_EQ(a.zero_row, b.zero_row) << name;
  EXPECT_EQ(a.dense_type, b.dense_type) << name;
  EXPECT_EQ(text_of(a.dense), text_of(b.dense)) << name;
  EXPECT_EQ(a.block_size, b.block_size) << name;
  EXPECT_EQ(a.num_centroids, b.num_centroids) << name;
  EXPECT_EQ(a.code_bits, b.code_bits) << name;
  EXPECT_EQ(a.order.tile_rows, b.order.tile_rows) << name;
  EXPECT_EQ(text_of(a.codes), text_of(b.codes)) << name;
  EXPECT_EQ(a.centroid_type, b.centroid_type) << name;
  EXPECT_EQ(text_of(a.centroids), text_of(b.centroids)) << name;
  EXPECT_EQ(a.centroid_scale, b.centroid_scale) << name;
  EXPECT_EQ(a.affine_axis, b.affine_axis) << name;
  EXPECT_EQ(a.scales, b.scales) << name;
  EXPECT_EQ(a.zero_points, b.zero_points) << name;
}

void expect_equal(const Activations& a, const Activations& b) {
  EXPECT_EQ(a.mode, b.mode);
  ASSERT_EQ(a.layers.size(), b.layers.size());
  for (const auto& [name, grid] : a.layers) {
    const ActivationGrid& other = b.layers.at(name);
    EXPECT_EQ(grid.bits, other.bits) << name;
    EXPECT_EQ(grid.scale, other.scale) << name;
    EXPECT_EQ(grid.zero_point, other.zero_point) << name;
  }
}

void expect_equal(const ModelFile& a, const ModelFile& b) {
  expect_equal(a.activations, b.activations);
  EXPECT_EQ(a.kind, b.kind);
  EXPECT_EQ(a.architecture, b.architecture);
  EXPECT_EQ(a.options_json, b.options_json);
  EXPECT_EQ(a.history_json, b.history_json);
  EXPECT_EQ(a.training_json, b.training_json);
  EXPECT_EQ(a.ties, b.ties);
  ASSERT_EQ(a.weights.size(), b.weights.size());
  for (const auto& [name, weight] : a.weights) expect_equal(weight, b.weights.at(name), name);
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (const auto& [name, tensor] : a.tensors) {
    EXPECT_EQ(tensor.type, b.tensors.at(name).type) << name;
    EXPECT_EQ(tensor.shape, b.tensors.at(name).shape) << name;
    EXPECT_EQ(text_of(tensor.data), text_of(b.tensors.at(name).data)) << name;
  }
  ASSERT_EQ(a.blobs.size(), b.blobs.size());
  for (const auto& [name, blob] : a.blobs) EXPECT_EQ(text_of(blob), text_of(b.blobs.at(name))) << name;
}

uint64_t sum(const SizeReport& report) {
  return report.header_bytes + report.code_bytes + report.centroid_bytes + report.affine_bytes +
         report.dense_bytes + report.blob_bytes + report.training_bytes + report.padding_bytes;
}

TEST(ModelFile, EverySchemeSurvives) {
  const TemporaryFolder folder;
  write_model_file(folder.file("m.qn"), sample_model());
  expect_equal(sample_model(), read_model_file(folder.file("m.qn")));
}

TEST(ModelFile, EmptyModel) {
  const TemporaryFolder folder;
  const SizeReport report = write_model_file(folder.file("m.qn"), ModelFile{});
  EXPECT_EQ(report.file_bytes, report.header_bytes);
  expect_equal(ModelFile{}, read_model_file(folder.file("m.qn")));
}

TEST(ModelFile, Checkpoint) {
  const TemporaryFolder folder;
  ModelFile file = sample_model();
  file.kind = "checkpoint";
  file.training_json = R"({"loss":1.2345678901234567,"seed":18446744073709551615,"update":-3})";
  file.tensors["training.optimizer.exp_avg"] = {codec::ScalarType::kF32, {2, 2}, counting(16)};
  const SizeReport report = write_model_file(folder.file("c.qn"), file);
  EXPECT_EQ(report.training_bytes, 16u);
  expect_equal(file, read_model_file(folder.file("c.qn")));
}

TEST(ModelFile, SameContentSameBytes) {
  const TemporaryFolder folder;
  write_model_file(folder.file("a"), sample_model());
  write_model_file(folder.file("b"), read_model_file(folder.file("a")));
  EXPECT_EQ(base::read_text_file(folder.file("a")), base::read_text_file(folder.file("b")));
}

TEST(ModelFile, AFileCanReplaceTheOneItsWeightsPointInto) {
  const TemporaryFolder folder;
  write_model_file(folder.file("a"), sample_model());
  ModelFile file = read_model_file(folder.file("a"));
  file.architecture = "other";
  write_model_file(folder.file("a"), file);
  EXPECT_EQ(read_model_file(folder.file("a")).architecture, "other");
}

TEST(ModelFile, ReportSumsToTheFile) {
  const TemporaryFolder folder;
  const std::string path = folder.file("m.qn");
  const SizeReport written = write_model_file(path, sample_model());
  const SizeReport read = size_report(path);
  EXPECT_EQ(written.file_bytes, base::read_text_file(path).size());
  for (const SizeReport& report : {written, read}) {
    EXPECT_EQ(sum(report), report.file_bytes);
    EXPECT_EQ(report.code_bytes, 2 * 5u);
    EXPECT_EQ(report.centroid_bytes, 40u + 20u);
    EXPECT_EQ(report.affine_bytes, 3u + 5 + 6 + 8 + 9 + 11 + 12 + 6 * (12 + 3) + 4 + 1);
    EXPECT_EQ(report.dense_bytes, 24u + 12 + 12 + 20 + 8 + 3);
    EXPECT_EQ(report.blob_bytes, 100u);
    EXPECT_EQ(report.training_bytes, 0u);
    // Nine code tensors and one blob that is not empty, each less than 64 bytes short.
    EXPECT_LT(report.padding_bytes, 10 * 64u);
  }
  EXPECT_EQ(written.padding_bytes, read.padding_bytes);
}

TEST(ModelFile, OpensAsPlainSafetensors) {
  const TemporaryFolder folder;
  write_model_file(folder.file("m.qn"), sample_model());
  const test::RawFile raw = take_apart(base::read_text_file(folder.file("m.qn")));
  EXPECT_EQ((raw.header_length + 8) % 64, 0u);
  std::map<uint64_t, std::pair<uint64_t, std::string>> by_offset;
  const std::map<std::string, int64_t> sizes = {{"F32", 4}, {"F16", 2}, {"BF16", 2}, {"I8", 1},
                                                {"U8", 1},  {"I32", 4}, {"I64", 8}};
  for (const auto& [name, entry] : raw.header.items()) {
    if (name == "__metadata__") continue;
    int64_t bytes = sizes.at(entry["dtype"]);
    for (const auto& extent : entry["shape"]) bytes *= extent.get<int64_t>();
    const uint64_t begin = entry["data_offsets"][0];
    const uint64_t end = entry["data_offsets"][1];
    EXPECT_EQ(static_cast<int64_t>(end - begin), bytes) << name;
    if (begin != end) by_offset[begin] = {end, name};
  }
  uint64_t position = 0;
  bool codes_are_over = false;
  int64_t element_size = 8;
  for (const auto& [begin, tensor] : by_offset) {
    const auto& [end, name] = tensor;
    EXPECT_EQ(begin, position) << name;
    position = end;
    if (name.ends_with(".codes") || name.starts_with("blobs.")) {
      EXPECT_FALSE(codes_are_over) << name;
      EXPECT_EQ(begin % 64, 0u) << name;
    } else {
      codes_are_over = true;
      EXPECT_LE(sizes.at(raw.header[name]["dtype"]), element_size) << name;
      element_size = sizes.at(raw.header[name]["dtype"]);
    }
  }
  EXPECT_EQ(position, raw.data.size());
  EXPECT_EQ(raw.tensor("norm.bias"), text_of(counting(20)));
  EXPECT_EQ(raw.tensor("fc1.weight.codes").substr(0, 5), text_of(test::product_weight().codes));
}

TEST(ModelFile, ManifestText) {
  const TemporaryFolder folder;
  write_model_file(folder.file("m.qn"), sample_model());
  const auto manifest = nlohmann::json::parse(manifest_json(folder.file("m.qn")));
  EXPECT_EQ(manifest["format_version"], 1);
  EXPECT_EQ(manifest["architecture"], "transformer_lm");
  EXPECT_EQ(manifest["options"]["decoder-layers"], 2);
  EXPECT_EQ(manifest["weights"]["fc1.weight"]["scheme"], "product");
  EXPECT_EQ(manifest["weights"]["fc1.weight"]["tile_rows"], 128);
  EXPECT_EQ(manifest["weights"]["int3.weight"]["code_bytes"], 5);
  EXPECT_EQ(manifest["weights"]["decoder.embed_tokens.weight"]["zero_row"], 1);
  EXPECT_EQ(manifest["ties"]["decoder.output_projection.weight"], "decoder.embed_tokens.weight");
  EXPECT_EQ(manifest["blobs"]["dictionary"]["bytes"], 100);
}

TEST(ModelFile, QuantizedMatrixDecodesToTheSameValues) {
  const TemporaryFolder folder;
  constexpr int64_t kRows = 130;
  constexpr int64_t kCols = 24;
  std::vector<float> matrix(kRows * kCols);
  for (size_t i = 0; i < matrix.size(); ++i)
    matrix[i] = static_cast<float>((i * 2654435761u) % 1000) / 500.0f - 1.0f;
  codec::KMeansOptions options;
  options.num_centroids = 20;
  options.iterations = 3;
  const codec::ProductMatrix quantized =
      codec::quantize_product(matrix, kRows, kCols, 8, options, base::SerialFor());
  ModelFile file;
  file.weights["w"] = codec::pack_product(quantized, {kRows, kCols});
  const std::vector<float> expected = codec::unpack_to_float(file.weights["w"]);
  const SizeReport report = write_model_file(folder.file("m.qn"), file);
  EXPECT_EQ(report.code_bytes, static_cast<uint64_t>((kRows * 3 * 5 + 7) / 8));
  const ModelFile read = read_model_file(folder.file("m.qn"));
  EXPECT_EQ(codec::unpack_to_float(read.weights.at("w")), expected);
  EXPECT_EQ(codec::unpack_product(read.weights.at("w")).codes, quantized.codes);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(read.weights.at("w").codes.bytes.data()) % 64, 0u);
}

TEST(ModelFile, FailuresKeepWhatWasThere) {
  const TemporaryFolder folder;
  const std::string path = folder.file("m.qn");
  write_model_file(path, sample_model());
  const std::string before = base::read_text_file(path);
  ModelFile broken = sample_model();
  broken.weights["fc1.weight"].codes = counting(4);
  try {
    write_model_file(path, broken);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kInternal);
    EXPECT_THAT(error.what(), HasSubstr("weight fc1.weight: codes of 3 bits: found 4 bytes, expected 5"));
  }
  EXPECT_EQ(base::read_text_file(path), before);
  EXPECT_EQ(folder.count(), 1);
}

TEST(ModelFile, FolderThatIsMissing) {
  const TemporaryFolder folder;
  try {
    write_model_file(folder.file("none/m.qn"), sample_model());
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kIo);
    EXPECT_THAT(error.what(), HasSubstr("none/m.qn"));
  }
}

TEST(ModelFile, ContradictionsAreNotWritten) {
  const TemporaryFolder folder;
  const auto message_of = [&](const std::function<void(ModelFile&)>& spoil) {
    ModelFile file = sample_model();
    spoil(file);
    try {
      write_model_file(folder.file("m.qn"), file);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_THAT(message_of([](ModelFile& f) { f.kind = "dump"; }), HasSubstr("kind: found 'dump'"));
  EXPECT_THAT(message_of([](ModelFile& f) { f.options_json = "[1]"; }), HasSubstr("options: found an array"));
  EXPECT_THAT(message_of([](ModelFile& f) { f.ties["a"] = "b"; }),
              HasSubstr("tie a: found the unknown name b"));
  EXPECT_THAT(message_of([](ModelFile& f) { f.ties["dense.weight"] = "fc1.weight"; }),
              HasSubstr("is stored, too"));
  EXPECT_THAT(message_of([](ModelFile& f) { f.tensors["fc1.weight.codes"] = f.tensors["odd"]; }),
              HasSubstr("tensor fc1.weight.codes: two parts of the file have this name"));
  EXPECT_THAT(message_of([](ModelFile& f) { f.tensors["training.x"] = f.tensors["odd"]; }),
              HasSubstr("holds no training state"));
  EXPECT_THAT(message_of([](ModelFile& f) { f.tensors["bad\xff"] = f.tensors["odd"]; }),
              HasSubstr("invalid UTF-8"));
  EXPECT_THAT(message_of([](ModelFile& f) { f.tensors["odd"].shape = {4}; }),
              HasSubstr("found 3 bytes, expected 4"));
  EXPECT_THAT(
      message_of([](ModelFile& f) { f.weights["dense.weight"].dense_type = codec::ScalarType::kI32; }),
      HasSubstr("expected F32, F16 or BF16"));
  EXPECT_EQ(folder.count(), 0);
}

TEST(PlainExport, EverythingDecodedAndTiesWrittenOut) {
  const TemporaryFolder folder;
  ModelFile file = sample_model();
  file.kind = "checkpoint";
  file.tensors["training.x"] = {codec::ScalarType::kU8, {1}, counting(1)};
  file.tensors["half"] = {codec::ScalarType::kF16, {2}, test::bytes_of({0x00, 0x3c, 0x00, 0xc0})};
  file.tensors["brain"] = {codec::ScalarType::kBF16, {1}, test::bytes_of({0x80, 0x3f})};
  write_plain_safetensors(folder.file("p.safetensors"), file);
  const test::RawFile raw = take_apart(base::read_text_file(folder.file("p.safetensors")));
  EXPECT_EQ(raw.header["__metadata__"], nlohmann::json({{"format", "pt"}}));
  for (const auto& [name, weight] : file.weights) {
    EXPECT_EQ(raw.header[name]["dtype"], "F32") << name;
    EXPECT_EQ(raw.header[name]["shape"], nlohmann::json(weight.shape)) << name;
    const std::vector<float> values = codec::unpack_to_float(weight);
    EXPECT_EQ(std::memcmp(raw.tensor(name).data(), values.data(), values.size() * 4), 0) << name;
  }
  EXPECT_EQ(raw.tensor("decoder.output_projection.weight"), raw.tensor("decoder.embed_tokens.weight"));
  EXPECT_EQ(raw.tensor("position"), text_of(counting(8)));
  EXPECT_EQ(raw.header["half"]["dtype"], "F32");
  const float expected[] = {1.0f, -2.0f};
  EXPECT_EQ(std::memcmp(raw.tensor("half").data(), expected, 8), 0);
  EXPECT_EQ(std::memcmp(raw.tensor("brain").data(), expected, 4), 0);
  EXPECT_FALSE(raw.header.contains("training.x"));
  EXPECT_FALSE(raw.header.contains("blobs.dictionary"));
  try {
    read_model_file(folder.file("p.safetensors"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(),
                HasSubstr("this is a plain safetensors file: its metadata has no key 'quantnoise'"));
    EXPECT_THAT(error.hint(), HasSubstr("qn train"));
  }
}

}  // namespace
}  // namespace quantnoise::pack
