// Affine weights and quantized activations in the file: true sizes, round trips, and what is refused.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>

#include "quantnoise/base/error.h"
#include "quantnoise/codec/affine.h"
#include "quantnoise/codec/observer.h"
#include "sample_model.h"

namespace quantnoise::pack {
namespace {

using nlohmann::json;
using quantnoise::test::TemporaryFolder;
using test::sample_model;
using ::testing::HasSubstr;

// What reading says of the sample after its parts were spoiled.
std::string read_error(const std::function<void(test::RawFile&)>& spoil) {
  test::RawFile raw = test::take_apart(test::sample_bytes());
  spoil(raw);
  const TemporaryFolder folder;
  base::write_text_file(folder.file("m.qn"), test::put_together(raw));
  try {
    read_model_file(folder.file("m.qn"));
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kFormat) << error.what();
    return error.what();
  }
  return "no error";
}

std::string manifest_error(const std::function<void(json&)>& spoil) {
  return read_error([&](test::RawFile& raw) {
    json manifest = raw.manifest();
    spoil(manifest);
    raw.set_manifest(manifest);
  });
}

std::string write_error(const std::function<void(ModelFile&)>& spoil) {
  const TemporaryFolder folder;
  ModelFile file = sample_model();
  spoil(file);
  try {
    write_model_file(folder.file("m.qn"), file);
  } catch (const Error& error) {
    EXPECT_EQ(folder.count(), 0);
    return error.what();
  }
  return "no error";
}

// Different, well-spread values from −1 to 1.
std::vector<float> spread_values(size_t count) {
  std::vector<float> values(count);
  for (size_t i = 0; i < count; ++i) {
    values[i] = static_cast<float>((i * 2654435761u) % 100003) / 50001.5f - 1.0f;
  }
  return values;
}

TEST(AffineFile, IsAsLargeAsItsBitsAndScales) {
  const TemporaryFolder folder;
  const std::vector<int64_t> shape = {1024, 1024};
  const std::vector<float> weight = spread_values(1024 * 1024);
  for (int bits = 2; bits <= 8; ++bits) {
    for (const int axis : {-1, 0, 1}) {
      ModelFile file;
      codec::ObserveOptions options{codec::Observer::kChannel, bits, false, axis};
      if (axis < 0) options.observer = codec::Observer::kTensor;
      const codec::AffineGrid grid = codec::observe_weight(weight, shape, options, base::SerialFor());
      file.weights["fc.weight"] = codec::pack_affine(weight, shape, grid, base::SerialFor());
      const SizeReport report = write_model_file(folder.file("m.qn"), file);
      const double expected = 1024 * 1024 * bits / 8.0 + 4.0 * static_cast<double>(grid.scales.size());
      EXPECT_LE(static_cast<double>(report.file_bytes), expected * 1.01) << bits << " bits, axis " << axis;
      EXPECT_EQ(report.affine_bytes, static_cast<uint64_t>(file.weights["fc.weight"].stored_bytes()));
      const ModelFile read = read_model_file(folder.file("m.qn"));
      std::vector<float> values(weight.size());
      codec::fake_quantize(weight, shape, grid, values, base::SerialFor());
      EXPECT_EQ(codec::unpack_to_float(read.weights.at("fc.weight")), values);
    }
  }
}

TEST(AffineFile, DamagedGridsAreRefused) {
  const auto set_byte = [](const char* tensor, size_t offset, char value) {
    return read_error([=](test::RawFile& raw) {
      raw.data[raw.header.at(tensor).at("data_offsets")[0].get<size_t>() + offset] = value;
    });
  };
  EXPECT_EQ(set_byte("int3.weight.zero_points", 1, 7), "no error");
  EXPECT_THAT(set_byte("int3.weight.zero_points", 1, 8),
              HasSubstr("weight int3.weight: zero_points: found 8, expected 0 to 7"));
  EXPECT_THAT(set_byte("int3.weight.zero_points", 2, '\xff'), HasSubstr("zero_points: found 255"));
  // Sign and exponent of the first scale, 0.5.
  EXPECT_THAT(set_byte("int3.weight.scales", 3, '\xbf'), HasSubstr("scales: found -0.5, expected a finite"));
  EXPECT_THAT(set_byte("int3.weight.scales", 3, '\x00'), HasSubstr("expected a finite number of at least"));
  EXPECT_THAT(manifest_error([](json& m) { m["weights"]["int4.weight"]["axis"] = 8; }),
              HasSubstr("axis: found 8, expected a whole number from -1 to 7"));
  EXPECT_THAT(manifest_error([](json& m) { m["weights"]["int3.weight"]["axis"] = 1; }),
              HasSubstr("weight int3.weight: scales: found 3, expected 4"));
  EXPECT_THAT(read_error([](test::RawFile& raw) { raw.header["int3.weight.zero_points"]["dtype"] = "I8"; }),
              HasSubstr("tensor int3.weight.zero_points: found dtype I8, expected U8"));
}

TEST(AffineFile, BadGridsAreNotWritten) {
  EXPECT_THAT(write_error([](ModelFile& f) { f.weights["int3.weight"].zero_points[1] = 8; }),
              HasSubstr("weight int3.weight: zero_points: found 8, expected 0 to 7"));
  EXPECT_THAT(write_error([](ModelFile& f) { f.weights["int3.weight"].zero_points[1] = -1; }),
              HasSubstr("zero_points: found -1"));
  EXPECT_THAT(write_error([](ModelFile& f) { f.weights["int3.weight"].scales[1] = 0; }),
              HasSubstr("scales: found 0, expected a finite number of at least 2^-126"));
  EXPECT_THAT(write_error([](ModelFile& f) { f.weights["int3.weight"].affine_axis = 2; }),
              HasSubstr("axis: found 2, expected -1 (per tensor) or a dimension, less than 2"));
}

TEST(Activations, DynamicOnesKeepTheirBits) {
  const TemporaryFolder folder;
  ModelFile file = sample_model();
  file.activations.mode = ActivationMode::kDynamic;
  write_model_file(folder.file("m.qn"), file);
  const ModelFile read = read_model_file(folder.file("m.qn"));
  EXPECT_EQ(read.activations.mode, ActivationMode::kDynamic);
  EXPECT_EQ(read.activations.layers.at("fc1").bits, 8);
  EXPECT_EQ(json::parse(manifest_json(folder.file("m.qn")))["activations"],
            json::parse(R"({"mode":"dynamic","layers":{"fc1":{"bits":8},
              "decoder.layers.0.self_attn.q_proj":{"bits":4}}})"));
}

TEST(Activations, StaticRangesAreInTheManifest) {
  EXPECT_EQ(test::take_apart(test::sample_bytes()).manifest()["activations"]["layers"]["fc1"],
            json({{"bits", 8}, {"scale", 0.1f}, {"zero_point", 128}}));
}

TEST(Activations, WithoutThemTheKeyIsAbsent) {
  const TemporaryFolder folder;
  ModelFile file = sample_model();
  file.activations = {};
  write_model_file(folder.file("m.qn"), file);
  EXPECT_FALSE(json::parse(manifest_json(folder.file("m.qn"))).contains("activations"));
  EXPECT_EQ(read_model_file(folder.file("m.qn")).activations.mode, ActivationMode::kNone);
}

TEST(Activations, DamageIsRefused) {
  const auto error = [](const std::function<void(json&)>& spoil) {
    return manifest_error([&](json& manifest) { spoil(manifest["activations"]); });
  };
  EXPECT_THAT(error([](json& a) { a = "static"; }),
              HasSubstr("activations: found \"static\", expected a JSON object"));
  EXPECT_THAT(error([](json& a) { a["extra"] = 1; }), HasSubstr("activations: unknown key 'extra'"));
  EXPECT_THAT(error([](json& a) { a["mode"] = "fast"; }),
              HasSubstr("mode: found 'fast', expected one of none, static, dynamic"));
  EXPECT_THAT(error([](json& a) { a.erase("mode"); }), HasSubstr("'mode' is missing"));
  EXPECT_THAT(error([](json& a) { a.erase("layers"); }), HasSubstr("'layers' is missing"));
  EXPECT_THAT(error([](json& a) { a = json::parse(R"({"mode":"none","layers":{"a":{"bits":8}}})"); }),
              HasSubstr("activations: found 1 layers for the mode none"));
  EXPECT_THAT(error([](json& a) { a["layers"] = json::object(); }),
              HasSubstr("activations: found 0 layers for the mode static"));
  EXPECT_THAT(error([](json& a) { a["mode"] = "dynamic"; }), HasSubstr("unknown key 'scale'"));
  EXPECT_THAT(error([](json& a) { a["layers"]["fc1"].erase("scale"); }),
              HasSubstr("activations of fc1: 'scale' is missing"));
  EXPECT_THAT(error([](json& a) { a["layers"]["fc1"]["bits"] = 1; }),
              HasSubstr("activations of fc1: bits: found 1, expected a whole number from 2 to 8"));
  EXPECT_THAT(error([](json& a) { a["layers"]["fc1"]["bits"] = 7; }),
              HasSubstr("activations of fc1: zero_point: found 128, expected a whole number from 0 to 127"));
  EXPECT_THAT(error([](json& a) { a["layers"]["fc1"]["scale"] = 0; }),
              HasSubstr("activations of fc1: scale: found 0, expected a finite number of at least 2^-126"));
  EXPECT_THAT(error([](json& a) { a["layers"][""] = a["layers"]["fc1"]; }),
              HasSubstr("a layer without a name"));
}

TEST(Activations, ContradictionsAreNotWritten) {
  EXPECT_THAT(write_error([](ModelFile& f) { f.activations.layers["fc1"].bits = 9; }),
              HasSubstr("activations of fc1: bits: found 9, expected 2 to 8"));
  EXPECT_THAT(write_error([](ModelFile& f) { f.activations.layers["fc1"].zero_point = 256; }),
              HasSubstr("activations of fc1: zero_point: found 256, expected 0 to 255"));
  EXPECT_THAT(write_error([](ModelFile& f) {
                f.activations.layers["fc1"].scale = std::numeric_limits<float>::infinity();
              }),
              HasSubstr("activations of fc1: scale: found inf"));
  EXPECT_THAT(write_error([](ModelFile& f) { f.activations.mode = ActivationMode::kNone; }),
              HasSubstr("activations: found 2 layers for the mode none"));
}

}  // namespace
}  // namespace quantnoise::pack
