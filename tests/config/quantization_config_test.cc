#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../base/temporary_folder.h"
#include "quantnoise/base/error.h"
#include "quantnoise/base/file.h"
#include "quantnoise/config/yaml.h"

namespace quantnoise::config {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

// A file of the reference's form, with the doubled backslashes of the reference's own example.
constexpr const char* kDoubled = R"(
n_centroids:
    Linear:
        key: in_features
        value: {"*": 256}
    Embedding:
        key: embedding_dim
        value: {"*": 128}
block_sizes:
    Linear:
        key: fuzzy_name
        value: {fc: 8, attn: 4, emb: 4}
    Embedding:
        key: fuzzy_name
        value: {emb: 8}
layers_to_quantize:
    - decoder\\.layers\\.\d+\\.fc[12]
    - decoder\\.embed_tokens
)";

TEST(QuantizationConfig, ReadsTheReferencesForm) {
  const QuantizationConfig config = parse_quantization_config(kDoubled, "ipq.yaml");
  EXPECT_EQ(config.n_centroids.at("Linear").key, "in_features");
  EXPECT_THAT(config.n_centroids.at("Embedding").values, ElementsAre(Pair("*", 128)));
  EXPECT_THAT(config.block_sizes.at("Linear").values,
              ElementsAre(Pair("fc", 8), Pair("attn", 4), Pair("emb", 4)));
  EXPECT_THAT(config.layers_to_quantize,
              ElementsAre(R"(decoder\\.layers\\.\d+\\.fc[12])", R"(decoder\\.embed_tokens)"));
}

TEST(QuantizationConfig, MissingSectionsAreTheDefaults) {
  const QuantizationConfig config = parse_quantization_config("layers_to_quantize: [fc1]\n", "ipq.yaml");
  const QuantizationConfig defaults = default_quantization_config();
  EXPECT_THAT(config.layers_to_quantize, ElementsAre("fc1"));
  EXPECT_EQ(config.block_sizes.at("Linear").values, defaults.block_sizes.at("Linear").values);
  EXPECT_EQ(config.n_centroids.at("Embedding").values, defaults.n_centroids.at("Embedding").values);
  ASSERT_EQ(defaults.layers_to_quantize.size(), 3u);
  EXPECT_EQ(defaults.layers_to_quantize[0], R"(decoder\.layers\.\d+\.fc[12])");
}

TEST(QuantizationConfig, TheOrderOfTheMapIsKept) {
  const QuantizationConfig config = parse_quantization_config(
      "block_sizes: {Linear: {key: fuzzy_name, value: {z: 1, fc: 2, a: 4, \"*\": 8, b: 16}}}", "ipq.yaml");
  EXPECT_THAT(config.block_sizes.at("Linear").values,
              ElementsAre(Pair("z", 1), Pair("fc", 2), Pair("a", 4), Pair("*", 8), Pair("b", 16)));
}

TEST(QuantizationConfig, LoadsAFile) {
  const test::TemporaryFolder folder;
  base::write_text_file(folder.file("ipq.yaml"), kDoubled);
  EXPECT_EQ(load_quantization_config(folder.file("ipq.yaml")).layers_to_quantize.size(), 2u);
  EXPECT_THROW(load_quantization_config(folder.file("missing.yaml")), Error);
}

struct BadText {
  const char* label;
  const char* text;
  const char* expected;
};

class BadQuantizationConfigTest : public ::testing::TestWithParam<BadText> {};

TEST_P(BadQuantizationConfigTest, IsRefusedWithItsPlace) {
  try {
    parse_quantization_config(GetParam().text, "q.yaml");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfig);
    EXPECT_THAT(str_cat(error.what(), " | ", error.hint()), HasSubstr(GetParam().expected));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Texts, BadQuantizationConfigTest,
    ::testing::Values(
        BadText{"empty", "", "q.yaml: the file is empty"},
        BadText{"unknown_section", "a: 1\n", "q.yaml:1:1: unknown key 'a'"},
        BadText{"misspelt_section", "block_size: {}\n", "did you mean block_sizes?"},
        BadText{"duplicate_section", "layers_to_quantize: [a]\nlayers_to_quantize: [b]\n",
                "q.yaml:2:1: duplicate key 'layers_to_quantize'"},
        BadText{"unknown_layer", "n_centroids: {linear: {key: a, value: {\"*\": 2}}}",
                "did you mean Linear?"},
        BadText{"unknown_parameter_key", "n_centroids: {Linear: {key: a, values: {}}}",
                "unknown key 'values'"},
        BadText{"no_key", "n_centroids: {Linear: {value: {\"*\": 2}}}", "'key' is missing"},
        BadText{"no_value", "n_centroids: {Linear: {key: a}}", "'value' is missing"},
        BadText{"empty_value", "n_centroids: {Linear: {key: a, value: {}}}", "found an empty map"},
        BadText{"duplicate_value", "block_sizes: {Linear: {key: a, value: {fc: 8, fc: 4}}}",
                "q.yaml:1:47: duplicate key 'fc'"},
        BadText{"not_a_number", "n_centroids: {Linear: {key: a, value: {\"*\": 8x}}}",
                "found '8x', expected a whole number from 1 to 65536"},
        BadText{"zero", "block_sizes: {Linear: {key: a, value: {\"*\": 0}}}", "found '0'"},
        BadText{"too_many_centroids", "n_centroids: {Linear: {key: a, value: {\"*\": 65537}}}",
                "found '65537'"},
        BadText{"value_is_a_list", "n_centroids: {Linear: {key: a, value: [1]}}",
                "found a list, expected a map"},
        BadText{"section_is_null", "n_centroids:\n", "found nothing, expected a map"},
        BadText{"no_layer_type", "n_centroids: {}\n", "found no layer type"},
        BadText{"stages_are_no_list", "layers_to_quantize: fc1\n", "expected a list of regular expressions"},
        BadText{"no_stage", "layers_to_quantize: []\n", "found no stage"},
        BadText{"empty_stage", "layers_to_quantize: [\"\"]\n", "empty regular expression"},
        BadText{"bad_regex", "layers_to_quantize:\n  - fc[12\n",
                "q.yaml:2:5: layers_to_quantize: 'fc[12' is not a regular expression"},
        BadText{"number_without_end", "layers_to_quantize:\n  - fc\\1234567890\n",
                "q.yaml:2:5: layers_to_quantize: 'fc\\1234567890': found a number of 10 digits, expected at "
                "most 9"},
        BadText{"top_is_a_list", "- a\n", "found a list, expected a map"}),
    [](const auto& info) { return std::string(info.param.label); });

// Brackets that never end would take the compiler of regular expressions through the stack.
TEST(QuantizationConfig, PatternsOfAnyLengthAreRefusedOrCompiled) {
  const auto parse = [](size_t length) {
    parse_quantization_config("layers_to_quantize: ['" + std::string(length, '(') + "']", "q.yaml");
  };
  for (const size_t length : {size_t{1000}, size_t{1001}, size_t{900'000}}) {
    try {
      parse(length);
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kConfig);
      EXPECT_THAT(error.what(),
                  HasSubstr(length > 1000 ? "expected at most 1000" : "is not a regular expression"));
    }
  }
}

TEST(Lookup, FuzzyNameTakesTheFirstFittingEntry) {
  const LayerParameters sizes = default_quantization_config().block_sizes;
  EXPECT_EQ(lookup(sizes, "Linear", "decoder.layers.0.fc1", {}), 8);
  EXPECT_EQ(lookup(sizes, "Linear", "decoder.layers.0.self_attn.k_proj", {}), 4);
  EXPECT_EQ(lookup(sizes, "Embedding", "decoder.embed_tokens", {}), 8);
  const LayerParameter both{"fuzzy_name", {{"attn", 4}, {"fc", 8}, {"*", 2}}};
  EXPECT_EQ(lookup(both, "attn.fc", {}), 4);
  EXPECT_EQ(lookup(both, "conv", {}), 2);
}

TEST(Lookup, AttributesAreComparedWhole) {
  const LayerParameter kernel{"kernel_size", {{"(3, 3)", 9}, {"(1,1)", 4}}};
  EXPECT_EQ(lookup(kernel, "conv1", {{"kernel_size", "(3,3)"}}), 9);
  EXPECT_EQ(lookup(kernel, "conv1", {{"kernel_size", "(1, 1)"}}), 4);
  const LayerParameter width{"in_features", {{"1024", 512}, {"*", 256}}};
  EXPECT_EQ(lookup(width, "fc1", {{"in_features", "1024"}}), 512);
  EXPECT_EQ(lookup(width, "fc1", {{"in_features", "10240"}}), 256);
}

TEST(Lookup, NoFitNamesTheLayer) {
  const auto message_of = [](const auto& body) {
    try {
      body();
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kConfig);
      return std::string(error.what());
    }
    return std::string();
  };
  const LayerParameter parameter{"fuzzy_name", {{"fc", 8}}};
  EXPECT_THAT(message_of([&] { lookup(parameter, "decoder.conv", {}); }),
              HasSubstr("layer decoder.conv: no entry fits"));
  const LayerParameter by_attribute{"kernel_size", {{"(3, 3)", 9}}};
  EXPECT_THAT(message_of([&] { lookup(by_attribute, "fc1", {}); }),
              HasSubstr("layer fc1 has no attribute 'kernel_size'"));
  EXPECT_THAT(message_of([&] {
                lookup(by_attribute, "c", {{"kernel_size", "(7, 7)"}});
              }),
              HasSubstr("kernel_size (7, 7)"));
  EXPECT_THAT(message_of([&] { lookup(LayerParameters{}, "Conv2d", "conv1", {}); }),
              HasSubstr("layers of type Conv2d"));
}

}  // namespace
}  // namespace quantnoise::config
