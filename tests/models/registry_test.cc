#include "quantnoise/models/registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "quantnoise/base/error.h"

namespace quantnoise::models {
namespace {

using ::testing::HasSubstr;

std::map<std::string, std::string> defaults_of(const std::string& name) {
  const auto& list = find_architecture(name).defaults;
  return {list.begin(), list.end()};
}

TEST(Registry, HasFairseqsDefaults) {
  auto base = defaults_of("transformer_lm");
  EXPECT_EQ(base["decoder-embed-dim"], "512");
  EXPECT_EQ(base["decoder-normalize-before"], "true");
  auto gbw = defaults_of("transformer_lm_gbw");
  EXPECT_EQ(gbw["decoder-layers"], "12");
  EXPECT_EQ(gbw["decoder-embed-dim"], "512");
  EXPECT_EQ(gbw["decoder-ffn-embed-dim"], "4096");
  EXPECT_EQ(gbw["decoder-attention-heads"], "16");
  EXPECT_EQ(gbw["attention-dropout"], "0.1");
  EXPECT_EQ(gbw["no-decoder-final-norm"], "true");
}

TEST(Registry, NamesAreUnique) {
  std::set<std::string> names;
  for (const Architecture& architecture : architectures()) {
    EXPECT_TRUE(names.insert(architecture.name).second) << architecture.name;
    EXPECT_EQ(architecture.family, "transformer_lm");
  }
}

TEST(Registry, UnknownNamesShowTheNearest) {
  try {
    find_architecture("transformer_lm_gbv");
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfig);
    EXPECT_THAT(error.hint(), HasSubstr("transformer_lm_gbw"));
  }
}

TEST(Options, JsonRoundTrip) {
  TransformerLmOptions options;
  options.vocab_size = 77;
  options.activation_fn = "gelu";
  options.attention_dropout = 0.25;
  options.decoder_learned_pos = true;
  const std::string json = to_json(options);
  EXPECT_THAT(json, HasSubstr("\"decoder_embed_dim\":512"));
  EXPECT_EQ(to_json(transformer_lm_options_from_json(json)), json);
}

TEST(Options, WrongNamesTypesAndTextsAreErrors) {
  for (const char* json : {"{\"decoder_layer\":3}", "{\"decoder_layers\":\"3\"}", "{\"decoder_layers\":2.5}",
                           "{\"dropout\":true}", "[1]", "{", ""}) {
    try {
      transformer_lm_options_from_json(json);
      FAIL() << "no error for " << json;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kFormat) << json;
    }
  }
}

TEST(Registry, MakesAModelFromStoredOptions) {
  TransformerLmOptions options;
  options.vocab_size = 20;
  options.decoder_embed_dim = 16;
  options.decoder_ffn_embed_dim = 16;
  options.decoder_layers = 1;
  options.decoder_attention_heads = 2;
  const auto model = make_model("transformer_lm", to_json(options));
  EXPECT_EQ(model->architecture(), "transformer_lm");
  EXPECT_EQ(transformer_lm_options_from_json(model->options_json()).decoder_input_dim, 16);
  EXPECT_THROW(make_model("roberta", "{}"), Error);
}

}  // namespace
}  // namespace quantnoise::models
