#include "quantnoise/text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "quantnoise/base/error.h"
#include "quantnoise/base/random.h"
#include "quantnoise/text/utf8.h"

namespace quantnoise::text {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> tokens_of(const Tokenizer& tokenizer, std::string_view line) {
  std::vector<std::string> tokens;
  tokenizer.tokenize(line, tokens);
  return tokens;
}

std::vector<std::string> words(std::string_view line) { return tokens_of(words_tokenizer(), line); }

TEST(SpaceTokenizer, SplitsAtUnicodeWhiteSpace) {
  EXPECT_THAT(tokens_of(space_tokenizer(), "  a b\tc\u00A0d\u3000e\u2028f \x1Cg\n"),
              ElementsAre("a", "b", "c", "d", "e", "f", "g"));
  EXPECT_TRUE(tokens_of(space_tokenizer(), " \t\u2003").empty());
  const std::vector<std::string> tokens = {"a", ",", "b"};
  EXPECT_EQ(space_tokenizer().detokenize(tokens), "a , b");
}

TEST(WordTokenizer, SplitsPunctuationFromWords) {
  EXPECT_THAT(words("In the beginning, God created (both): \"all\"!"),
              ElementsAre("In", "the", "beginning", ",", "God", "created", "(", "both", ")", ":", "\"", "all",
                          "\"", "!"));
  EXPECT_THAT(words("what... -- why?"), ElementsAre("what", "...", "--", "why", "?"));
  EXPECT_THAT(words(""), ElementsAre());
}

TEST(WordTokenizer, KeepsHyphensNumbersAndInitials) {
  EXPECT_THAT(
      words("well-known 1,000.50 3:16 U.S. e.g. end.Start"),
      ElementsAre("well-known", "1,000.50", "3:16", "U.S", ".", "e", ".", "g", ".", "end", ".", "Start"));
  EXPECT_THAT(words("pre- and -5"), ElementsAre("pre", "-", "and", "-", "5"));
}

TEST(WordTokenizer, SplitsClitics) {
  EXPECT_THAT(words("don't CAN'T Moses's they'll I\u2019m o'clock rock'n'roll"),
              ElementsAre("do", "n't", "CA", "N'T", "Moses", "'s", "they", "'ll", "I", "\u2019m", "o'clock",
                          "rock'n'roll"));
  EXPECT_THAT(words("the fathers' 'tis"), ElementsAre("the", "fathers", "'", "'", "tis"));
}

TEST(WordTokenizer, KnowsOtherScripts) {
  EXPECT_THAT(
      words("na\u00EFve \u00C9t\u00E9, \u0440\u0443\u0441\u0441\u043A\u0438\u0439 \u201Chi\u201D\u2014ok"),
      ElementsAre("na\u00EFve", "\u00C9t\u00E9", ",", "\u0440\u0443\u0441\u0441\u043A\u0438\u0439", "\u201C",
                  "hi", "\u201D", "\u2014", "ok"));
  EXPECT_THAT(words("\u4F60\u597D\u3002\U0001F600"), ElementsAre("\u4F60", "\u597D", "\u3002", "\U0001F600"));
}

TEST(WordTokenizer, KeepsTheUnknownSymbolWhole) {
  EXPECT_THAT(words("the <unk>, <b>"), ElementsAre("the", "<unk>", ",", "<", "b", ">"));
}

TEST(WordTokenizer, GivesReadableTextBack) {
  for (const std::string_view line : {
           "In the beginning, God created the heavens and the earth.",
           "He said, \"Don't be afraid; I'm with you!\" (They weren't.)",
           "Moses's staff\u2014a well-known one\u2014cost $1,000.50, 5% more...",
           "\u201CIsn\u2019t it?\u201D he asked. \u2018No\u2019.",
           "The word is 'repeat'; can you say 'repeat' o' the day?",
           "It's the fathers' house [see 3:16]; and/or not?",
           "\u4F60\u597D\u3002\u518D\u89C1",
       }) {
    const std::string text = words_tokenizer().detokenize(words(line));
    EXPECT_EQ(text, line);
    EXPECT_EQ(words(text), words(line)) << text;
  }
}

TEST(WordTokenizer, SurvivesAnyBytes) {
  base::SequentialRandom random(1);
  // Random bytes could spell white space that is not ASCII.
  const std::vector<std::string> pieces = {"a",  "n't",    "'",      ".",    "-",    ",",
                                           "\"", "<unk>",  "<",      " ",    "3",    ":",
                                           "T",  "\u00E9", "\u2019", "\xFF", "\xF0", "\u4F60"};
  for (int round = 0; round < 2000; ++round) {
    std::string line;
    for (uint64_t i = random.below(30); i > 0; --i) line += pieces[random.below(pieces.size())];
    const std::vector<std::string> tokens = words(line);
    std::string joined;
    for (const std::string& token : tokens) {
      EXPECT_FALSE(token.empty());
      joined += token;
    }
    std::string without_blanks;
    for (const char c : line) {
      if (c != ' ') without_blanks += c;
    }
    EXPECT_EQ(joined, without_blanks);
    words_tokenizer().detokenize(tokens);
  }
}

TEST(Tokenizer, IsFoundByName) {
  for (const std::string& name : tokenizer_names()) EXPECT_EQ(find_tokenizer(name).name(), name);
  try {
    find_tokenizer("bpe");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfig);
    EXPECT_STREQ(error.what(), "tokenizer: found 'bpe', expected one of: space, words");
  }
}

std::string replaced(std::string_view text, int64_t expected_count) {
  std::string storage;
  EXPECT_EQ(replace_invalid_utf8(text, storage), expected_count);
  return std::string(text);
}

TEST(Utf8, ReplacesIllFormedSequencesAsPython) {
  EXPECT_EQ(replaced("plain \u00E9 \u4F60 \U0001F600", 0), "plain \u00E9 \u4F60 \U0001F600");
  EXPECT_EQ(replaced("a\xFF"
                     "b",
                     1),
            "a\uFFFDb");
  EXPECT_EQ(replaced("\xC3(", 1), "\uFFFD(");
  EXPECT_EQ(replaced("\xE4\xBD", 1), "\uFFFD");                  // cut short: one maximal part
  EXPECT_EQ(replaced("\xE0\x80\x80", 3), "\uFFFD\uFFFD\uFFFD");  // overlong
  EXPECT_EQ(replaced("\xED\xA0\x80", 3), "\uFFFD\uFFFD\uFFFD");  // a surrogate
  EXPECT_EQ(replaced("\xF5\x80", 2), "\uFFFD\uFFFD");
  EXPECT_EQ(replaced("\xF4\x90\x80\x80", 4), "\uFFFD\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(replaced("x\xF0\x9F\x98y\x80", 2), "x\uFFFDy\uFFFD");
}

}  // namespace
}  // namespace quantnoise::text
