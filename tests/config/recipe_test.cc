#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../base/temporary_folder.h"
#include "quantnoise/base/error.h"
#include "quantnoise/base/file.h"
#include "quantnoise/config/yaml.h"

namespace quantnoise::config {
namespace {

using ::testing::HasSubstr;

TEST(Recipe, EntriesInFileOrder) {
  const auto recipe = parse_recipe(
      "# a recipe\n"
      "task: language_modeling\n"
      "adam_betas: (0.9, 0.98)\n"
      "lr: [1e-3, 1e-4]\n"
      "update-freq:\n"
      "  - 1\n"
      "  - 2\n"
      "fp16: true\n"
      "save-dir: \"a: b\"\n",
      "r.yaml");
  ASSERT_EQ(recipe.size(), 6u);
  EXPECT_EQ(recipe[0].name, "task");
  EXPECT_EQ(recipe[0].line, 2);
  EXPECT_EQ(recipe[0].column, 1);
  EXPECT_EQ(recipe[1].name, "adam-betas");
  EXPECT_EQ(recipe[1].text, "(0.9, 0.98)");
  EXPECT_EQ(recipe[2].text, "1e-3,1e-4");
  EXPECT_EQ(recipe[3].text, "1,2");
  EXPECT_EQ(recipe[4].text, "true");
  EXPECT_EQ(recipe[5].text, "a: b");
}

TEST(Recipe, EmptyFilesHaveNoEntries) {
  EXPECT_TRUE(parse_recipe("", "r.yaml").empty());
  EXPECT_TRUE(parse_recipe("# nothing\n", "r.yaml").empty());
}

struct BadText {
  const char* label;
  const char* text;
  const char* expected;
};

class BadRecipeTest : public ::testing::TestWithParam<BadText> {};

TEST_P(BadRecipeTest, IsRefusedWithItsPlace) {
  try {
    parse_recipe(GetParam().text, "r.yaml");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfig);
    EXPECT_THAT(error.what(), HasSubstr(GetParam().expected));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Texts, BadRecipeTest,
    ::testing::Values(
        BadText{"duplicate", "lr: 1\ntask: x\nlr: 2\n", "r.yaml:3:1: duplicate key 'lr'"},
        BadText{"same_option", "max-update: 1\n--max_update: 2\n",
                "r.yaml:2:1: option --max-update was already given in line 1"},
        BadText{"nested", "lr:\n  a: 1\n", "r.yaml:2:3: option --lr: found a map, expected one value"},
        BadText{"no_value", "lr:\ntask: x\n", "r.yaml:1:1: option --lr: has no value"},
        BadText{"null", "lr: ~\n", "r.yaml:1:1: option --lr: has no value"},
        BadText{"list", "- lr\n", "r.yaml:1:1: the recipe: found a list, expected a map"},
        BadText{"scalar", "hello\n", "r.yaml:1:1: the recipe: found a value, expected a map"},
        BadText{"empty_list", "lr: []\n", "found an empty list"},
        BadText{"nested_list", "lr: [[1]]\n", "found a list, expected one value"},
        BadText{"comma", "lr: [\"1,2\"]\n", "found a comma"},
        BadText{"syntax", "lr: [1\n", "r.yaml:2:1: not valid YAML"},
        BadText{"tab", "lr:\n\t- 1\n", "not valid YAML"},
        BadText{"tag", "lr: !!python/object:os.system x\n", "r.yaml:1:5: option --lr: found the tag"},
        BadText{"two_documents", "lr: 1\n---\nlr: 2\n", "found more than one YAML document"},
        BadText{"only_a_comma", ",", "found more than one YAML document"},
        BadText{"comma_and_bytes", ",\xa0", "found more than one YAML document"},
        BadText{"alias", "lr: *missing\n", "not valid YAML"},
        BadText{"map_key", "? [a]\n: 1\n", "found a list, expected one value"}),
    [](const auto& info) { return std::string(info.param.label); });

TEST(Recipe, DeepNestingAndLargeFilesAreRefused) {
  EXPECT_THROW(parse_recipe("a: " + std::string(100000, '['), "r.yaml"), Error);
  EXPECT_THROW(parse_recipe("# " + std::string(2 << 20, 'x'), "r.yaml"), Error);
  EXPECT_THROW(parse_recipe(std::string("a: b\0", 5), "r.yaml"), Error);
}

TEST(Recipe, ApplySetsOptionsAndNamesThePlaceOfErrors) {
  const test::TemporaryFolder folder;
  OptionTable table;
  table.add({.name = "max-update", .type = OptionType::kInt, .default_text = "0"});
  OptionValues values(table);
  base::write_text_file(folder.file("good.yaml"), "max-update: 12\n");
  apply_recipe(folder.file("good.yaml"), values);
  EXPECT_EQ(values.get_int("max-update"), 12);
  EXPECT_EQ(values.source("max-update"), OptionSource::kRecipe);

  base::write_text_file(folder.file("bad.yaml"), "\nmax-update: 12x\n");
  base::write_text_file(folder.file("unknown.yaml"), "max-updates: 12\n");
  try {
    apply_recipe(folder.file("bad.yaml"), values);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("bad.yaml:2:1: option --max-update: found '12x'"));
  }
  try {
    apply_recipe(folder.file("unknown.yaml"), values);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("unknown.yaml:1:1: unknown option --max-updates"));
    EXPECT_THAT(error.hint(), HasSubstr("--max-update"));
  }
  EXPECT_THROW(apply_recipe(folder.file("missing.yaml"), values), Error);
}

}  // namespace
}  // namespace quantnoise::config
