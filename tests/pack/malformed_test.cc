// Damaged and foreign files: each is refused, with a message that says what was found and what was expected.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "../base/temporary_folder.h"
#include "quantnoise/base/error.h"
#include "sample_model.h"

namespace quantnoise::pack {
namespace {

using nlohmann::json;
using quantnoise::test::TemporaryFolder;
using test::put_together;
using test::RawFile;
using test::sample_bytes;
using ::testing::HasSubstr;

std::string message_of(const std::string& bytes) {
  const TemporaryFolder folder;
  const std::string path = folder.file("m.qn");
  base::write_text_file(path, bytes);
  try {
    read_model_file(path);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kFormat) << error.what();
    EXPECT_THAT(error.what(), HasSubstr("cannot read " + path + ": "));
    return str_cat(error.what(), " | ", error.hint());
  }
  return "no error";
}

struct Damage {
  const char* label;
  std::function<std::string()> bytes;
  const char* expected;
};

// A damage done to the header, to its text, or to the manifest of the sample.
Damage header(const char* label, std::function<void(json&)> spoil, const char* expected) {
  return {label,
          [spoil] {
            RawFile raw = test::take_apart(sample_bytes());
            spoil(raw.header);
            return put_together(raw);
          },
          expected};
}

Damage manifest(const char* label, std::function<void(json&)> spoil, const char* expected) {
  return {label,
          [spoil] {
            RawFile raw = test::take_apart(sample_bytes());
            json changed = raw.manifest();
            spoil(changed);
            raw.set_manifest(changed);
            return put_together(raw);
          },
          expected};
}

Damage header_text(const char* label, const std::string& text, const char* expected) {
  return {label, [text] { return put_together(text, ""); }, expected};
}

Damage manifest_text(const char* label, const std::string& text, const char* expected) {
  return {label,
          [text] {
            return put_together(json{{"__metadata__", {{"quantnoise", text}}}}.dump(), "");
          },
          expected};
}

Damage foreign(const char* label, const std::string& bytes, const char* expected) {
  return {label, [bytes] { return bytes; }, expected};
}

class DamageTest : public ::testing::TestWithParam<Damage> {};

TEST_P(DamageTest, IsRefused) { EXPECT_THAT(message_of(GetParam().bytes()), HasSubstr(GetParam().expected)); }

std::string label_of(const ::testing::TestParamInfo<Damage>& info) { return info.param.label; }

using namespace std::string_literals;

INSTANTIATE_TEST_SUITE_P(
    Foreign, DamageTest,
    ::testing::Values(
        foreign("empty", "", "this is an empty file"),
        foreign("zip", "PK\x03\x04 archive", "this is a PyTorch zip checkpoint, expected a safetensors file"),
        foreign("pickle", "\x80\x02\x8a\nl", "this is a legacy PyTorch checkpoint"),
        foreign("git_lfs", "version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        foreign("gguf", "GGUF\3\0\0\0"s, "this is a GGUF file"),
        foreign("hdf5", "\x89HDF\r\n\x1a\n", "this is an HDF5 file"),
        foreign("html", "<!DOCTYPE html><html></html>", "this is an HTML page"),
        foreign("gzip", "\x1f\x8b\x08", "this is a gzip archive"),
        foreign("short", "abc", "found 3 bytes, expected at least"),
        foreign("text", "just some text, nothing else", "no JSON header at byte 8"),
        foreign("zeros", std::string(64, '\0'), "no JSON header at byte 8"),
        foreign("plain", put_together(R"({"w":{"dtype":"BOOL","shape":[1],"data_offsets":[0,1]}})", "x"),
                "this is a plain safetensors file"),
        foreign("plain_with_metadata", put_together(R"({"__metadata__":{"format":"pt"}})", ""),
                "its metadata has no key 'quantnoise'")),
    label_of);

INSTANTIATE_TEST_SUITE_P(
    Header, DamageTest,
    ::testing::Values(
        Damage{"length_beyond_the_limit", [] { return "\0\xe1\xf5\x06\0\0\0\0{"s; },
               "header length: found 116777216"},
        Damage{"length_beyond_the_file", [] { return "\x40\x42\x0f\0\0\0\0\0{}"s; },
               "truncated: the header has 1000000 bytes, the file only 2"},
        Damage{"length_not_aligned",
               [] {
                 RawFile raw = test::take_apart(sample_bytes());
                 const std::string text = raw.header.dump() + " ";
                 const uint64_t length = text.size() + (text.size() % 64 == 56 ? 1 : 0);
                 std::string bytes(8, '\0');
                 std::memcpy(bytes.data(), &length, 8);
                 return bytes + text + (length > text.size() ? " " : "") + raw.data;
               },
               "expected data that starts at a multiple of 64"},
        header_text("not_json", "{\"a\":", "header is not valid JSON: parse error"),
        header_text("trailing_text", "{} x", "header is not valid JSON"),
        header_text("duplicate_tensor", R"({"a":{},"a":{}})", "header: duplicate key 'a'"),
        header_text("duplicate_key", R"({"a":{"dtype":"U8","dtype":"U8"}})", "header: duplicate key 'dtype'"),
        header_text("too_deep", R"({"a":{"shape":[[1]]}})", "header: nested deeper than 3 levels"),
        header_text("very_deep", "{\"a\":" + std::string(1000000, '[') + std::string(1000000, ']') + "}",
                    "nested deeper"),
        header_text("not_utf8", "{\"a\xff\":{}}", "header is not valid JSON"),
        header_text("metadata_not_text", R"({"__metadata__":{"quantnoise":{}}})",
                    "quantnoise: found an object, expected a string"),
        header_text("metadata_no_object", R"({"__metadata__":[]})",
                    "__metadata__: found an array, expected a JSON object"),
        header(
            "entry_no_object", [](json& h) { h["norm.bias"] = 1; },
            "tensor norm.bias: found 1, expected a JSON object"),
        header(
            "unknown_key", [](json& h) { h["norm.bias"]["color"] = 1; },
            "tensor norm.bias: unknown key 'color'"),
        header(
            "no_dtype", [](json& h) { h["norm.bias"].erase("dtype"); },
            "tensor norm.bias: 'dtype' is missing"),
        header(
            "unknown_dtype", [](json& h) { h["norm.bias"]["dtype"] = "F8"; },
            "dtype: found 'F8', expected one of F32"),
        header(
            "dtype_number", [](json& h) { h["norm.bias"]["dtype"] = 32; },
            "dtype: found 32, expected a string"),
        header(
            "shape_text", [](json& h) { h["norm.bias"]["shape"] = "5"; },
            "shape: found \"5\", expected a list"),
        header(
            "shape_negative", [](json& h) { h["norm.bias"]["shape"] = {-5}; }, "none negative"),
        header(
            "shape_fraction", [](json& h) { h["norm.bias"]["shape"] = {5.0}; }, "whole numbers"),
        header(
            "shape_huge_number", [](json& h) { h["norm.bias"]["shape"] = {UINT64_MAX}; }, "whole numbers"),
        header(
            "shape_overflow",
            [](json& h) {
              h["norm.bias"]["shape"] = {1ll << 40, 1ll << 40};
            },
            "does not fit in 64 bits"),
        header(
            "shape_63_bits", [](json& h) { h["norm.bias"]["shape"] = {1ll << 61}; }, "do not fit in 63 bits"),
        header(
            "rank", [](json& h) { h["norm.bias"]["shape"] = std::vector<int>(9, 1); }, "a list of at most 8"),
        header(
            "wrong_size", [](json& h) { h["norm.bias"]["shape"] = {6}; },
            "tensor norm.bias: found 20 bytes, expected 24 for F32 of shape [6]"),
        header(
            "one_offset", [](json& h) { h["norm.bias"]["data_offsets"] = {0}; },
            "data_offsets: found 1 numbers"),
        header(
            "offsets_swapped",
            [](json& h) {
              auto& o = h["norm.bias"]["data_offsets"];
              std::swap(o[0], o[1]);
            },
            "after end"),
        header(
            "misaligned",
            [](json& h) {
              for (auto& o : h["norm.bias"]["data_offsets"]) o = o.get<int64_t>() + 2;
            },
            "expected a multiple of 4"),
        header(
            "overlap",
            [](json& h) {
              for (auto& o : h["norm.bias"]["data_offsets"]) o = o.get<int64_t>() - 4;
            },
            "overlaps"),
        header(
            "gap", [](json& h) { h.erase("position"); }, "gap of 8 bytes between"),
        header(
            "name_control", [](json& h) { h["a\nb"] = h["norm.bias"]; }, "as a tensor's name"),
        header(
            "name_empty", [](json& h) { h[""] = h["norm.bias"]; }, "as a tensor's name"),
        Damage{"trailing_bytes", [] { return sample_bytes() + "xyz"; },
               "found 3 trailing bytes after the last tensor"},
        Damage{"one_byte_short", [] { return sample_bytes().substr(0, sample_bytes().size() - 1); },
               "truncated: tensor odd"}),
    label_of);

INSTANTIATE_TEST_SUITE_P(
    Manifest, DamageTest,
    ::testing::Values(
        manifest_text("no_json", "hello", "manifest is not valid JSON"),
        manifest_text("no_object", "[]", "manifest: found an array, expected a JSON object"),
        manifest_text("duplicate", R"({"kind":"model","kind":"model"})", "manifest: duplicate key 'kind'"),
        manifest_text("deep", "{\"options\":" + std::string(100, '[') + std::string(100, ']') + "}",
                      "manifest: nested deeper than 32"),
        manifest_text("no_version", "{}", "manifest: 'format_version' is missing"),
        manifest(
            "newer_version", [](json& m) { m["format_version"] = 2; },
            "format version: found 2, expected 1 | a newer quantnoise"),
        manifest(
            "version_text", [](json& m) { m["format_version"] = "1"; },
            "format_version: found \"1\", expected a whole number"),
        manifest(
            "unknown_key", [](json& m) { m["extra"] = 1; }, "manifest: unknown key 'extra'"),
        manifest(
            "no_kind", [](json& m) { m.erase("kind"); }, "manifest: 'kind' is missing"),
        manifest(
            "wrong_kind", [](json& m) { m["kind"] = "zoo"; },
            "kind: found 'zoo', expected model or checkpoint"),
        manifest(
            "options_list", [](json& m) { m["options"] = json::array(); },
            "options: found an array, expected a JSON object"),
        manifest(
            "weights_list", [](json& m) { m["weights"] = json::array(); }, "weights: found an array"),
        manifest(
            "weight_number", [](json& m) { m["weights"]["fc1.weight"] = 3; }, "weight fc1.weight: found 3"),
        manifest(
            "unknown_scheme", [](json& m) { m["weights"]["fc1.weight"]["scheme"] = "zip"; },
            "scheme: found 'zip', expected one of dense, product, affine"),
        manifest(
            "unknown_weight_key", [](json& m) { m["weights"]["fc1.weight"]["axis"] = 0; },
            "weight fc1.weight: unknown key 'axis'"),
        manifest(
            "missing_tensor",
            [](json& m) {
              m["weights"]["fc9.weight"] = {{"scheme", "dense"}, {"shape", {1}}};
            },
            "weight fc9.weight: tensor fc9.weight is missing"),
        manifest(
            "missing_codes", [](json& m) { m["weights"]["fc9.weight"] = m["weights"]["fc1.weight"]; },
            "weight fc9.weight: tensor fc9.weight.codes is missing"),
        manifest(
            "two_owners",
            [](json& m) {
              m["weights"]["fc1.weight.codes"] = {{"scheme", "dense"}, {"shape", {64}}};
            },
            "tensor fc1.weight.codes belongs to two owners"),
        manifest(
            "dense_shape", [](json& m) { m["weights"]["dense.weight"]["shape"] = {6}; },
            "tensor dense.weight: found shape [3, 2, 1], expected [6]"),
        manifest(
            "dense_of_integers",
            [](json& m) {
              m["weights"]["odd"] = {{"scheme", "dense"}, {"shape", {3}}};
            },
            "weight odd: found dtype U8, expected F32, F16 or BF16"),
        manifest(
            "empty_shape", [](json& m) { m["weights"]["fc1.weight"]["shape"] = json::array(); },
            "shape: found [], expected 1 to 8 dimensions"),
        manifest(
            "zero_extent",
            [](json& m) {
              m["weights"]["fc1.weight"]["shape"] = {0, 8};
            },
            "expected dimensions of at least 1"),
        manifest(
            "huge_shape",
            [](json& m) {
              m["weights"]["fc1.weight"]["shape"] = {1ll << 62, 8};
            },
            "expected at most 2^48 elements"),
        manifest(
            "huge_product",
            [](json& m) {
              m["weights"]["fc1.weight"]["shape"] = {1ll << 40, 1ll << 40};
            },
            "expected at most 2^48 elements"),
        manifest(
            "zero_row", [](json& m) { m["weights"]["fc1.weight"]["zero_row"] = 6; },
            "zero_row: found 6, expected a row below 6"),
        manifest(
            "code_bits", [](json& m) { m["weights"]["fc1.weight"]["code_bits"] = 4; },
            "code_bits: found 4, expected 3 for 5 centroids"),
        manifest(
            "code_bits_range", [](json& m) { m["weights"]["fc1.weight"]["code_bits"] = 17; },
            "code_bits: found 17, expected a whole number from 1 to 16"),
        manifest(
            "code_bytes", [](json& m) { m["weights"]["fc1.weight"]["code_bytes"] = 6; },
            "codes of 3 bits: found 6 bytes, expected 5"),
        manifest(
            "code_bytes_beyond", [](json& m) { m["weights"]["fc1.weight"]["code_bytes"] = 65; },
            "expected 65 bytes rounded up to a multiple of 64"),
        manifest(
            "code_bytes_huge", [](json& m) { m["weights"]["fc1.weight"]["code_bytes"] = INT64_MAX; },
            "rounded up"),
        manifest(
            "more_rows_than_codes",
            [](json& m) {
              m["weights"]["fc1.weight"]["shape"] = {600, 8};
            },
            "found 5 bytes, expected 450"),
        manifest(
            "block_size", [](json& m) { m["weights"]["fc1.weight"]["block_size"] = 3; }, "expected [5, 3]"),
        manifest(
            "block_does_not_divide",
            [](json& m) {
              m["weights"]["fc1.weight"]["shape"] = {8, 6};
            },
            "block_size: found 4, expected a divisor of 6"),
        manifest(
            "block_zero", [](json& m) { m["weights"]["fc1.weight"]["block_size"] = 0; },
            "block_size: found 0"),
        manifest(
            "num_centroids", [](json& m) { m["weights"]["fc1.weight"]["num_centroids"] = 6; },
            "expected [6, 4]"),
        manifest(
            "tile_rows", [](json& m) { m["weights"]["fc1.weight"]["tile_rows"] = 100; },
            "tile_rows: found 100, expected a multiple of 64"),
        manifest(
            "no_scale", [](json& m) { m["weights"]["fc1.weight"].erase("centroid_scale"); },
            "'centroid_scale' is missing"),
        manifest(
            "scale_negative", [](json& m) { m["weights"]["fc1.weight"]["centroid_scale"] = -1.0; },
            "centroid_scale: found -1"),
        manifest(
            "scale_text", [](json& m) { m["weights"]["fc1.weight"]["centroid_scale"] = "1"; },
            "centroid_scale: found \"1\", expected a number"),
        manifest(
            "scale_too_large", [](json& m) { m["weights"]["fc1.weight"]["centroid_scale"] = 1e300; },
            "expected a finite number"),
        manifest(
            "affine_bits", [](json& m) { m["weights"]["int4.weight"]["code_bits"] = 9; },
            "code_bits: found 9, expected a whole number from 2 to 8"),
        manifest(
            "affine_bytes", [](json& m) { m["weights"]["int4.weight"]["code_bits"] = 5; },
            "codes of 5 bits: found 6 bytes, expected 8"),
        manifest(
            "affine_axis", [](json& m) { m["weights"]["int4.weight"]["axis"] = 2; },
            "axis: found 2, expected -1 (per tensor) or a dimension, less than 2"),
        manifest(
            "affine_scales", [](json& m) { m["weights"]["int4.weight"]["axis"] = 0; },
            "scales: found 1, expected 3"),
        manifest(
            "tie_unknown", [](json& m) { m["ties"]["a"] = "nothing"; },
            "tie a: found the unknown name nothing"),
        manifest(
            "tie_to_tie", [](json& m) { m["ties"]["a"] = "decoder.output_projection.weight"; },
            "tie a: found decoder.output_projection.weight, another tie"),
        manifest(
            "tie_cycle",
            [](json& m) {
              m["ties"]["a"] = "b";
              m["ties"]["b"] = "a";
            },
            "tie a: its chain of ties ends where it begins"),
        manifest(
            "tie_to_itself", [](json& m) { m["ties"]["a"] = "a"; },
            "tie a: its chain of ties ends where it begins"),
        manifest(
            "tie_over_weight", [](json& m) { m["ties"]["dense.weight"] = "fc1.weight"; },
            "tie dense.weight: a tensor of this name is stored, too"),
        manifest(
            "tie_number", [](json& m) { m["ties"]["a"] = 1; }, "ties: a: found 1, expected a string"),
        manifest(
            "blob_missing",
            [](json& m) {
              m["blobs"]["x"] = {{"bytes", 1}};
            },
            "blob x: tensor blobs.x is missing"),
        manifest(
            "blob_size", [](json& m) { m["blobs"]["dictionary"]["bytes"] = 200; },
            "expected 200 bytes rounded up")),
    label_of);

TEST(ModelFile, MissingFileIsAnIoError) {
  try {
    read_model_file("/nonexistent/m.qn");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kIo);
    EXPECT_THAT(error.what(), HasSubstr("/nonexistent/m.qn"));
  }
}

}  // namespace
}  // namespace quantnoise::pack
