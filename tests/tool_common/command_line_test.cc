// From words to values of options.
#include "tools/common/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "quantnoise/base/error.h"
#include "quantnoise/config/option_group.h"

namespace quantnoise::tool {
namespace {

using ::testing::HasSubstr;

void declare(config::OptionTable& table) {
  config::OptionGroup group(table, "all");
  group.text("model", "", "a file").alias("path");
  group.text("output", "", "a file").alias("o");
  group.text("prompt", "", "a text");
  group.integer("max-len", "5", "how many");
  group.flag("fast", "a flag");
}

Program program() {
  Command command;
  command.name = "go";
  command.positional = {"model"};
  command.repeatable = {"prompt"};
  command.takes_recipe = false;
  command.declare = declare;
  Program program;
  program.name = "tool";
  program.commands = {command};
  return program;
}

Request parse(std::vector<std::string> words) {
  static const Program tool = program();
  words.insert(words.begin(), "go");
  return parse_command_line(tool, words);
}

std::string text_of(const std::vector<std::string>& words, const char* option) {
  return parse(words).invocation->values.text(option);
}

std::string error_of(const std::vector<std::string>& words) {
  try {
    parse(words);
  } catch (const Error& error) {
    EXPECT_EQ(exit_code(error.kind()), 2);
    return error.what();
  }
  return "no error";
}

TEST(CommandLine, ValuesStandBehindOrBesideTheirOption) {
  for (const auto& words : std::vector<std::vector<std::string>>{{"m", "-o", "x"},
                                                                 {"m", "-ox"},
                                                                 {"m", "-o=x"},
                                                                 {"--output", "x", "m"},
                                                                 {"--output=x", "--path", "m"},
                                                                 {"--output=x", "--model=m"}}) {
    EXPECT_EQ(text_of(words, "output"), "x");
    EXPECT_EQ(text_of(words, "model"), "m");
  }
  EXPECT_EQ(text_of({"m", "--max_len", "7"}, "max-len"), "7");
  EXPECT_EQ(text_of({"m", "--prompt="}, "prompt"), "");
  EXPECT_EQ(text_of({"m", "--prompt", "a=b"}, "prompt"), "a=b");
}

TEST(CommandLine, ValuesMayLookLikeOptions) {
  EXPECT_EQ(text_of({"m", "--prompt", "-1"}, "prompt"), "-1");
  EXPECT_EQ(text_of({"m", "--prompt", "--what"}, "prompt"), "--what");
  EXPECT_EQ(text_of({"--", "--fast"}, "model"), "--fast");
  EXPECT_EQ(text_of({"-1"}, "model"), "-1");
  EXPECT_EQ(text_of({"-"}, "model"), "-");
}

TEST(CommandLine, FlagsTakeATruthValueWhereOneFollows) {
  EXPECT_EQ(text_of({"m", "--fast"}, "fast"), "true");
  EXPECT_EQ(text_of({"--fast", "m"}, "fast"), "true");
  EXPECT_EQ(text_of({"--fast", "False", "m"}, "model"), "m");
  EXPECT_FALSE(parse({"--fast", "False", "m"}).invocation->values.get_bool("fast"));
  EXPECT_FALSE(parse({"--fast=0", "m"}).invocation->values.get_bool("fast"));
  EXPECT_EQ(error_of({"m", "--fast=maybe"}), "option --fast: found 'maybe', expected true or false");
}

TEST(CommandLine, OfRepeatedOptionsTheLastWinsOrAllCount) {
  EXPECT_EQ(text_of({"m", "--max-len", "1", "--max-len=2"}, "max-len"), "2");
  EXPECT_EQ(parse({"m", "--prompt", "a", "--prompt", "b"}).invocation->repeated.at("prompt"),
            (std::vector<std::string>{"a", "b"}));
}

TEST(CommandLine, ANumberThatRunsIntoAnOptionIsTwoWords) {
  EXPECT_EQ(text_of({"m", "--max-len", "7--prompt", "x"}, "max-len"), "7");
  EXPECT_EQ(text_of({"m", "--max-len", "7--prompt", "x"}, "prompt"), "x");
  EXPECT_EQ(text_of({"m", "--prompt", "7--else"}, "prompt"), "7--else");
}

TEST(CommandLine, HelpWinsOverWhatElseIsWrong) {
  EXPECT_EQ(parse({"--help"}).kind, Request::Kind::kHelp);
  EXPECT_EQ(parse({"more", "and", "more", "-h"}).kind, Request::Kind::kHelp);
}

TEST(CommandLine, WrongWordsAreNamed) {
  EXPECT_EQ(error_of({}), "tool go needs the argument model");
  EXPECT_EQ(error_of({"m", "more"}), "unexpected argument 'more'");
  EXPECT_EQ(error_of({"m", "--promt", "x"}), "unknown option --promt");
  EXPECT_EQ(error_of({"m", "--max-len"}), "option --max-len needs a value");
  EXPECT_EQ(error_of({"m", "--max-len", "--fast"}), "option --max-len needs a value");
  EXPECT_EQ(error_of({"m", "-o"}), "option -o needs a value");
  EXPECT_THAT(error_of({"m", "--max-len", "8x"}), HasSubstr("option --max-len: found '8x'"));
  EXPECT_EQ(error_of({"m", "-x"}), "unknown option -x");
  EXPECT_EQ(error_of({"m", "--config", "x"}), "unknown option --config");
}

}  // namespace
}  // namespace quantnoise::tool
