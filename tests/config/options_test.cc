#include "quantnoise/config/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "quantnoise/base/error.h"
#include "quantnoise/config/yaml.h"

namespace quantnoise::config {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

OptionTable sample_table() {
  OptionTable table;
  table.add({.name = "task",
             .type = OptionType::kChoice,
             .default_text = "language_modeling",
             .group = "task",
             .choices = {"language_modeling", "masked_lm"}});
  table.add({.name = "lr",
             .type = OptionType::kFloatList,
             .default_text = "0.25",
             .group = "optimization",
             .min = 0,
             .aliases = {"learning-rate"}});
  table.add({.name = "update-freq",
             .type = OptionType::kIntList,
             .default_text = "1",
             .group = "optimization",
             .min = 1});
  table.add({.name = "adam-betas",
             .type = OptionType::kFloatList,
             .default_text = "(0.9, 0.999)",
             .group = "optimization"});
  table.add({.name = "max-update",
             .type = OptionType::kInt,
             .default_text = "0",
             .group = "optimization",
             .min = 0});
  table.add({.name = "max-tokens", .type = OptionType::kInt, .unit = "tokens", .group = "data", .min = 1});
  table.add({.name = "quant-noise-pq",
             .type = OptionType::kFloat,
             .default_text = "0",
             .group = "noise",
             .min = 0,
             .max = 1});
  table.add({.name = "fp16", .type = OptionType::kBool, .group = "optimization"});
  table.add({.name = "save-dir",
             .type = OptionType::kString,
             .default_text = "checkpoints",
             .group = "checkpoint"});
  table.add({.name = "restore-file", .type = OptionType::kString, .group = "checkpoint"});
  table.add({.name = "ddp-backend",
             .type = OptionType::kString,
             .default_text = "c10d",
             .group = "distributed",
             .no_effect = true});
  return table;
}

const OptionTable& table() {
  static const OptionTable kTable = sample_table();
  return kTable;
}

std::string error_of(const std::function<void()>& body, ErrorKind kind) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return str_cat(error.what(), " | ", error.hint());
  }
  ADD_FAILURE() << "no error";
  return "";
}

TEST(OptionTable, FindsByNameAliasAndSpelling) {
  EXPECT_EQ(table().find("lr").name, "lr");
  EXPECT_EQ(table().find("--learning-rate").name, "lr");
  EXPECT_EQ(table().find("quant_noise_pq").name, "quant-noise-pq");
  EXPECT_TRUE(table().contains("adam_betas"));
  EXPECT_FALSE(table().contains("adam"));
  EXPECT_EQ(table().specs().front().name, "task");
}

TEST(OptionTable, UnknownOptionShowsTheNearest) {
  EXPECT_THAT(error_of([] { table().find("--quant-noise-qp"); }, ErrorKind::kUsage),
              AllOf(HasSubstr("unknown option --quant-noise-qp"), HasSubstr("--quant-noise-pq")));
  EXPECT_THAT(error_of([] { table().find("xxxxxxxxxxxxxxxxxxxxxx"); }, ErrorKind::kUsage),
              HasSubstr("unknown option --xxxxxxxxxxxxxxxxxxxxxx | "));
}

TEST(OptionTable, RefusesWrongDeclarations) {
  OptionTable options = sample_table();
  error_of([&] { options.add({.name = "lr", .type = OptionType::kFloat}); }, ErrorKind::kInternal);
  error_of([&] { options.add({.name = "rate", .aliases = {"learning_rate"}}); }, ErrorKind::kInternal);
  error_of([&] { options.add({.name = "n", .type = OptionType::kInt, .default_text = "x"}); },
           ErrorKind::kInternal);
  error_of([&] { options.add({.name = "c", .type = OptionType::kChoice}); }, ErrorKind::kInternal);
}

TEST(OptionValues, Defaults) {
  const OptionValues values(table());
  EXPECT_EQ(values.get_string("task"), "language_modeling");
  EXPECT_THAT(values.get_float_list("lr"), ElementsAre(0.25));
  EXPECT_THAT(values.get_float_list("adam-betas"), ElementsAre(0.9, 0.999));
  EXPECT_EQ(values.get_int("max-update"), 0);
  EXPECT_FALSE(values.get_bool("fp16"));
  EXPECT_EQ(values.get_string("restore-file"), "");
  EXPECT_FALSE(values.has_value("max-tokens"));
  EXPECT_FALSE(values.is_explicit("lr"));
  EXPECT_EQ(values.source("lr"), OptionSource::kDefault);
}

TEST(OptionValues, HigherRankWinsAndTheLastOfARank) {
  OptionValues values(table());
  values.set("max-update", "10", OptionSource::kCommandLine);
  values.set("max-update", "20", OptionSource::kRecipe);
  EXPECT_EQ(values.get_int("max-update"), 10);
  values.set("max-update", "30", OptionSource::kCommandLine);
  EXPECT_EQ(values.get_int("max-update"), 30);
  EXPECT_TRUE(values.is_explicit("max-update"));
  values.set("save-dir", "a", OptionSource::kStored);
  EXPECT_FALSE(values.is_explicit("save-dir"));
  values.set("save-dir", "b", OptionSource::kArchitecture);
  EXPECT_EQ(values.get_string("save-dir"), "a");
  values.set("save-dir", "c", OptionSource::kRecipe);
  EXPECT_EQ(values.get_string("save-dir"), "c");
  // A wrong value is an error even when a better one stands.
  error_of([&] { values.set("max-update", "many", OptionSource::kRecipe); }, ErrorKind::kConfig);
  EXPECT_EQ(values.get_int("max-update"), 30);
}

TEST(OptionValues, SetByAlias) {
  OptionValues values(table());
  values.set("--learning_rate", "1e-5", OptionSource::kCommandLine);
  EXPECT_THAT(values.get_float_list("lr"), ElementsAre(1e-5));
  EXPECT_THAT(values.get_float_list("learning-rate"), ElementsAre(1e-5));
}

TEST(OptionValues, WrongUseIsAnInternalError) {
  const OptionValues values(table());
  error_of([&] { values.get_int("task"); }, ErrorKind::kInternal);
  error_of([&] { values.get_int("max-tokens"); }, ErrorKind::kInternal);
  error_of([&] { values.get_int("nothing"); }, ErrorKind::kInternal);
  EXPECT_EQ(values.get_float("max-update"), 0.0);
}

TEST(OptionValues, OptionsWithoutEffect) {
  OptionValues values(table());
  EXPECT_TRUE(values.explicit_without_effect().empty());
  values.set("ddp-backend", "no_c10d", OptionSource::kCommandLine);
  EXPECT_THAT(values.explicit_without_effect(), ElementsAre("ddp-backend"));
}

struct BadValue {
  OptionType type;
  const char* text;
};

class BadValueTest : public ::testing::TestWithParam<BadValue> {};

TEST_P(BadValueTest, IsRefusedWithNameTextAndExpectation) {
  const OptionSpec spec{
      .name = "x", .type = GetParam().type, .choices = {"adam", "sgd"}, .min = -10, .max = 10};
  const std::string message = error_of([&] { parse_value(spec, GetParam().text); }, ErrorKind::kConfig);
  EXPECT_THAT(message, AllOf(HasSubstr("option --x"), HasSubstr(str_cat("'", GetParam().text, "'")),
                             HasSubstr(describe_type(spec))));
}

INSTANTIATE_TEST_SUITE_P(
    Texts, BadValueTest,
    ::testing::Values(BadValue{OptionType::kInt, "8x"}, BadValue{OptionType::kInt, "8.0"},
                      BadValue{OptionType::kInt, ""}, BadValue{OptionType::kInt, " 8"},
                      BadValue{OptionType::kInt, "1e1"}, BadValue{OptionType::kInt, "11"},
                      BadValue{OptionType::kInt, "99999999999999999999"}, BadValue{OptionType::kInt, "+-1"},
                      BadValue{OptionType::kInt, "0x8"}, BadValue{OptionType::kFloat, "1.5f"},
                      BadValue{OptionType::kFloat, "nan"}, BadValue{OptionType::kFloat, "inf"},
                      BadValue{OptionType::kFloat, "1e999"}, BadValue{OptionType::kFloat, "10.01"},
                      BadValue{OptionType::kFloat, "1,5"}, BadValue{OptionType::kFloat, ""},
                      BadValue{OptionType::kBool, "yes"}, BadValue{OptionType::kBool, "2"},
                      BadValue{OptionType::kChoice, "adma"}, BadValue{OptionType::kChoice, ""},
                      BadValue{OptionType::kIntList, "1,,2"}, BadValue{OptionType::kIntList, "1,2,"},
                      BadValue{OptionType::kIntList, ""}, BadValue{OptionType::kIntList, "[]"},
                      BadValue{OptionType::kIntList, "1,2.5"}, BadValue{OptionType::kIntList, "(1,2]"},
                      BadValue{OptionType::kIntList, "1,20"}, BadValue{OptionType::kFloatList, "0.9;0.98"},
                      BadValue{OptionType::kFloatList, "[[1]]"},
                      BadValue{OptionType::kFloatList, "(0.9, x)"}));

TEST(ParseValue, GoodTexts) {
  const auto parse = [](OptionType type, const char* text) {
    return parse_value({.name = "x", .type = type, .choices = {"adam"}}, text);
  };
  EXPECT_EQ(std::get<int64_t>(parse(OptionType::kInt, "-9223372036854775808")), INT64_MIN);
  EXPECT_EQ(std::get<int64_t>(parse(OptionType::kInt, "+8")), 8);
  EXPECT_EQ(std::get<double>(parse(OptionType::kFloat, "1e-5")), 1e-5);
  EXPECT_EQ(std::get<double>(parse(OptionType::kFloat, "3")), 3.0);
  EXPECT_EQ(std::get<double>(parse(OptionType::kFloat, ".5")), 0.5);
  EXPECT_TRUE(std::get<bool>(parse(OptionType::kBool, "")));
  EXPECT_TRUE(std::get<bool>(parse(OptionType::kBool, "True")));
  EXPECT_FALSE(std::get<bool>(parse(OptionType::kBool, "0")));
  EXPECT_EQ(std::get<std::string>(parse(OptionType::kString, "a b")), "a b");
  EXPECT_THAT(std::get<std::vector<int64_t>>(parse(OptionType::kIntList, "1, 2 ,3")), ElementsAre(1, 2, 3));
  EXPECT_THAT(std::get<std::vector<int64_t>>(parse(OptionType::kIntList, "(1,)")), ElementsAre(1));
  EXPECT_THAT(std::get<std::vector<double>>(parse(OptionType::kFloatList, "(0.9, 0.98)")),
              ElementsAre(0.9, 0.98));
  EXPECT_THAT(std::get<std::vector<double>>(parse(OptionType::kFloatList, "[1,2]")), ElementsAre(1.0, 2.0));
}

TEST(ParseValue, ChoiceHasAHint) {
  const OptionSpec spec{.name = "optimizer", .type = OptionType::kChoice, .choices = {"adam", "sgd"}};
  EXPECT_THAT(error_of([&] { parse_value(spec, "adma"); }, ErrorKind::kConfig),
              HasSubstr("did you mean adam?"));
}

OptionValues unusual_values() {
  OptionValues values(table());
  values.set("lr", "[1e-5, 2e-5]", OptionSource::kCommandLine);
  values.set("adam-betas", "(0.9, 0.98)", OptionSource::kRecipe);
  values.set("fp16", "", OptionSource::kCommandLine);
  values.set("max-tokens", "4096", OptionSource::kCommandLine);
  values.set("save-dir", "a \"b\": #\\ü\n- ", OptionSource::kCommandLine);
  values.set("restore-file", "null", OptionSource::kCommandLine);
  values.set("ddp-backend", "", OptionSource::kCommandLine);
  values.set("quant-noise-pq", "0.05", OptionSource::kCommandLine);
  return values;
}

void expect_equal(const OptionValues& a, const OptionValues& b) {
  for (const OptionSpec& spec : table().specs()) {
    ASSERT_EQ(a.has_value(spec.name), b.has_value(spec.name)) << spec.name;
  }
  EXPECT_EQ(a.get_float_list("lr"), b.get_float_list("lr"));
  EXPECT_EQ(a.get_float_list("adam-betas"), b.get_float_list("adam-betas"));
  EXPECT_EQ(a.get_int_list("update-freq"), b.get_int_list("update-freq"));
  EXPECT_EQ(a.get_bool("fp16"), b.get_bool("fp16"));
  EXPECT_EQ(a.get_int("max-tokens"), b.get_int("max-tokens"));
  EXPECT_EQ(a.get_float("quant-noise-pq"), b.get_float("quant-noise-pq"));
  for (const char* name : {"task", "save-dir", "restore-file", "ddp-backend"}) {
    EXPECT_EQ(a.get_string(name), b.get_string(name)) << name;
  }
}

TEST(OptionValues, DumpCanBeFedBack) {
  const OptionValues values = unusual_values();
  const std::string recipe = values.dump();
  OptionValues copy(table());
  for (const RecipeEntry& entry : parse_recipe(recipe, "dump.yaml")) {
    copy.set(entry.name, entry.text, OptionSource::kRecipe);
  }
  expect_equal(values, copy);
  EXPECT_THAT(recipe, HasSubstr("# optimization\nlr: [1e-5, 2e-5]\n"));
  EXPECT_THAT(recipe, HasSubstr("restore-file: \"null\"\n"));
}

TEST(OptionValues, DumpedDefaultsKeepTheirRank) {
  OptionValues values(table());
  values.set("max-update", "7", OptionSource::kArchitecture);
  values.set("lr", "0.5", OptionSource::kCommandLine);
  const std::string recipe = values.dump();
  EXPECT_THAT(recipe, HasSubstr("\n#max-update: 7\n"));
  EXPECT_THAT(recipe, HasSubstr("\nlr: [0.5]\n"));
  const std::vector<RecipeEntry> entries = parse_recipe(recipe, "dump.yaml");
  ASSERT_EQ(entries.size(), 1u);
  EXPECT_EQ(entries.front().name, "lr");
}

TEST(OptionValues, DumpLeavesOutWhatIsNotSet) {
  EXPECT_THAT(OptionValues(table()).dump(), Not(HasSubstr("max-tokens")));
}

TEST(OptionValues, JsonRoundTrip) {
  const OptionValues values = unusual_values();
  OptionValues copy(table());
  copy.from_json(values.to_json());
  expect_equal(values, copy);
  EXPECT_EQ(copy.source("lr"), OptionSource::kStored);
  const auto json = nlohmann::json::parse(values.to_json());
  EXPECT_TRUE(json["fp16"].is_boolean());
  EXPECT_TRUE(json["max-tokens"].is_number_integer());
  const auto noise_only = nlohmann::json::parse(values.to_json({"noise"}));
  EXPECT_EQ(noise_only.size(), 1u);
}

TEST(OptionValues, BadJson) {
  OptionValues values(table());
  for (const char* text :
       {"", "[]", "{", "{\"max-update\": {}}", "{\"max-update\": null}", "{\"lr\": [[1]]}",
        "{\"lr\": [\"a\"]}", "{\"unknown\": 1}", "{\"max-update\": 1.5}", "{\"a\":{\"b\":{\"c\":1}}}"}) {
    error_of([&] { values.from_json(text); }, ErrorKind::kFormat);
  }
}

}  // namespace
}  // namespace quantnoise::config
