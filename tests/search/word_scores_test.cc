#include "quantnoise/search/word_scores.h"

#include <gmock/gmock.h>

#include <cmath>

#include "quantnoise/text/dictionary.h"

namespace quantnoise::search {
namespace {

TEST(NllSum, LossIsInBitsAndPerplexityIsItsPower) {
  const NllSum sum{10 * std::log(8.0), 10, 0};
  EXPECT_NEAR(sum.loss(), 3, 1e-12);
  EXPECT_NEAR(sum.perplexity(), 8, 1e-12);
  EXPECT_EQ(NllSum().loss(), 0);
}

TEST(WordScores, JoinsPiecesAndCountsFollowers) {
  text::Dictionary dictionary;
  const int64_t un = dictionary.add_symbol("un@@");
  const int64_t do_piece = dictionary.add_symbol("do");
  const int64_t it = dictionary.add_symbol("it");
  WordScores scores([&](int64_t token) { return dictionary.symbol(token); }, "@@");
  const auto words = scores.add({un, do_piece, it, it}, {-1, -2, -3, -4});
  ASSERT_EQ(words.size(), 3u);
  EXPECT_EQ(words[0].text, "undo");
  EXPECT_TRUE(words[0].is_bpe);
  EXPECT_DOUBLE_EQ(words[0].log_prob, -3);
  EXPECT_EQ(scores.num_continuations(), 1);

  const auto stats = scores.stats();
  ASSERT_EQ(stats.size(), 2u);
  EXPECT_EQ(stats[0].word, "it");
  EXPECT_EQ(stats[0].count, 2);
  EXPECT_DOUBLE_EQ(stats[0].log_prob, -7);
  EXPECT_EQ(stats[0].num_next, 1);
  EXPECT_DOUBLE_EQ(stats[0].next_log_prob, -4);
  EXPECT_DOUBLE_EQ(stats[1].next_log_prob, -3);
}

// As the reference: the part is no word, counts as one token, and is what follows the word before it.
TEST(WordScores, AWordCutOffAtTheEndIsNone) {
  text::Dictionary dictionary;
  const int64_t un = dictionary.add_symbol("un@@");
  const int64_t der = dictionary.add_symbol("der@@");
  const int64_t it = dictionary.add_symbol("it");
  WordScores scores([&](int64_t token) { return dictionary.symbol(token); }, "@@");
  EXPECT_EQ(scores.add({it, un, der}, {-1, -2, -4}).size(), 1u);
  EXPECT_EQ(scores.num_continuations(), 1);
  ASSERT_EQ(scores.stats().size(), 1u);
  EXPECT_DOUBLE_EQ(scores.stats()[0].next_log_prob, -6);
  EXPECT_EQ(scores.stats()[0].num_next, 1);
  EXPECT_TRUE(scores.add({un}, {-1}).empty());
}

TEST(WordScores, WithoutMarkerEveryPieceIsAWord) {
  text::Dictionary dictionary;
  const int64_t un = dictionary.add_symbol("un@@");
  WordScores scores([&](int64_t token) { return dictionary.symbol(token); }, "");
  EXPECT_EQ(scores.add({un, un}, {-1, -1}).size(), 2u);
  EXPECT_EQ(scores.num_continuations(), 0);
}

}  // namespace
}  // namespace quantnoise::search
