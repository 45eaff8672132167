#include "quantnoise/search/sampling.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

#include "quantnoise/base/error.h"

namespace quantnoise::search {
namespace {

using testing::ElementsAre;

constexpr float kInf = std::numeric_limits<float>::infinity();

std::map<int64_t, int> histogram(const std::vector<float>& logits, const SamplingOptions& options,
                                 int draws = 10'000) {
  std::map<int64_t, int> counts;
  for (int i = 0; i < draws; ++i) ++counts[choose_token(logits, options, (i + 0.5) / draws)];
  return counts;
}

TEST(ChooseToken, GreedyTakesTheBestAndTiesGoToTheLowestNumber) {
  SamplingOptions options;
  options.greedy = true;
  EXPECT_EQ(choose_token(std::vector<float>{0, 3, 1, 3}, options, 0.99), 1);
  EXPECT_EQ(choose_token(std::vector<float>{-kInf, -kInf, -5}, options, 0), 2);
}

TEST(ChooseToken, FrequenciesAreTheSoftmax) {
  const std::vector<float> logits = {std::log(0.5f), std::log(0.3f), std::log(0.2f)};
  const auto counts = histogram(logits, {});
  EXPECT_NEAR(counts.at(0), 5000, 2);
  EXPECT_NEAR(counts.at(1), 3000, 2);
  EXPECT_NEAR(counts.at(2), 2000, 2);
}

TEST(ChooseToken, TemperatureSharpens) {
  SamplingOptions options;
  options.temperature = 0.5;  // squares the odds: 0.25 : 0.0625
  const auto counts = histogram({std::log(0.5f), std::log(0.25f)}, options);
  EXPECT_NEAR(counts.at(0), 8000, 2);
}

TEST(ChooseToken, TopKKeepsTheBest) {
  SamplingOptions options;
  options.top_k = 2;
  const auto counts = histogram({std::log(0.1f), std::log(0.6f), std::log(0.3f)}, options);
  EXPECT_EQ(counts.size(), 2u);
  EXPECT_NEAR(counts.at(1), 6667, 2);
  EXPECT_NEAR(counts.at(2), 3333, 2);
}

TEST(ChooseToken, TopPKeepsTheSmallestSetThatReachesP) {
  SamplingOptions options;
  const std::vector<float> logits = {std::log(0.1f), std::log(0.6f), std::log(0.3f)};
  options.top_p = 0.55;
  EXPECT_EQ(histogram(logits, options).size(), 1u);
  options.top_p = 0.7;
  EXPECT_EQ(histogram(logits, options).size(), 2u);
  options.top_p = 0.95;
  EXPECT_EQ(histogram(logits, options).size(), 3u);
  options.top_p = 1e-9;
  EXPECT_THAT(histogram(logits, options), ElementsAre(testing::Pair(1, 10'000)));
}

TEST(ChooseToken, ImpossibleTokensAreNeverChosenAndAbsurdScoresEnd) {
  EXPECT_EQ(histogram({-kInf, 1, -kInf}, {}).size(), 1u);
  EXPECT_EQ(choose_token(std::vector<float>{1, kInf, 2}, {}, 0.999), 1);
  EXPECT_THROW(choose_token(std::vector<float>{-kInf, -kInf}, {}, 0), Error);
  EXPECT_THROW(choose_token(std::vector<float>{0, NAN}, {}, 0), Error);
}

/// Prefers the token after the last one seen; the end token is 5.
class CountingScorer : public Scorer {
 public:
  explicit CountingScorer(int64_t max_positions = 0, float sharpness = 100)
      : max_positions_(max_positions), sharpness_(sharpness) {}
  int64_t max_positions() const override { return max_positions_; }
  int64_t max_prompts() const override { return 8; }
  std::span<const float> start(std::span<const Tokens> prompts, int64_t num_sequences) override {
    Tokens last;
    for (const Tokens& prompt : prompts)
      last.insert(last.end(), static_cast<size_t>(num_sequences), prompt.back());
    return score(last);
  }
  void select(std::span<const int64_t> parents) override { num_selected_ += parents.size(); }
  std::span<const float> advance(std::span<const int64_t> tokens) override {
    return score({tokens.begin(), tokens.end()});
  }

 private:
  std::span<const float> score(const std::vector<int64_t>& last) {
    logits_.assign(last.size() * 6, 0);
    for (size_t i = 0; i < last.size(); ++i)
      logits_[i * 6 + static_cast<size_t>((last[i] + 1) % 6)] = sharpness_;
    return logits_;
  }
  int64_t max_positions_;
  float sharpness_;
  size_t num_selected_ = 0;
  std::vector<float> logits_;
};

TEST(Generate, StopsAtTheEndToken) {
  CountingScorer scorer;
  GenerateOptions options;
  options.end_token = 5;
  const auto sequences = generate(scorer, std::vector<int64_t>{1}, options);
  ASSERT_EQ(sequences.size(), 1u);
  EXPECT_THAT(sequences[0].tokens, ElementsAre(2, 3, 4));
  EXPECT_TRUE(sequences[0].ended);
  EXPECT_NEAR(sequences[0].log_prob, 0, 1e-6);
}

TEST(Generate, HonoursLengthsBansAndPositions) {
  GenerateOptions options;
  options.max_length = 2;
  CountingScorer scorer;
  EXPECT_THAT(generate(scorer, std::vector<int64_t>{1}, options)[0].tokens, ElementsAre(2, 3));

  options.max_length = 4;
  options.min_length = 4;
  options.end_token = 5;
  options.sampling.greedy = true;
  EXPECT_THAT(generate(scorer, std::vector<int64_t>{3}, options)[0].tokens, ElementsAre(4, 0, 1, 2));
  options.banned = {4};
  EXPECT_EQ(generate(scorer, std::vector<int64_t>{3}, options)[0].tokens[0], 0);

  CountingScorer short_scorer(3);
  EXPECT_THAT(generate(short_scorer, std::vector<int64_t>{0, 1}, GenerateOptions())[0].tokens,
              ElementsAre(2, 3));
  EXPECT_THROW(generate(short_scorer, std::vector<int64_t>{0, 1, 2, 3}, options), Error);
  EXPECT_THROW(generate(short_scorer, std::vector<int64_t>{}, options), Error);
}

TEST(Generate, MoreSamplesDoNotChangeTheFirst) {
  CountingScorer scorer(0, 0);  // uniform
  GenerateOptions options;
  options.max_length = 20;
  const auto one = generate(scorer, std::vector<int64_t>{1}, options);
  options.num_samples = 3;
  const auto three = generate(scorer, std::vector<int64_t>{1}, options);
  EXPECT_EQ(one[0].tokens, three[0].tokens);
  EXPECT_NE(three[0].tokens, three[1].tokens);
  options.seed = 2;
  EXPECT_NE(generate(scorer, std::vector<int64_t>{1}, options)[0].tokens, three[0].tokens);
  EXPECT_NEAR(one[0].log_prob, -20 * std::log(6.0), 1e-6);
}

TEST(Generate, ABeamWithATinyTemperatureIsGreedy) {
  CountingScorer scorer;
  GenerateOptions options;
  options.max_length = 5;
  options.beam_size = 3;
  for (const double temperature : {1.0, 1e-30, 1e-38, 1e-300}) {
    options.sampling.temperature = temperature;
    EXPECT_THAT(generate(scorer, std::vector<int64_t>{3}, options)[0].tokens, ElementsAre(4, 5, 0, 1, 2))
        << temperature;
  }
  options.sampling.temperature = 1;
  options.penalized_token = 0;
  options.penalty = -1e300;
  EXPECT_THROW(generate(scorer, std::vector<int64_t>{3}, options), Error);
}

TEST(Generate, RefusesOptionsOutOfRange) {
  CountingScorer scorer;
  GenerateOptions options;
  options.sampling.temperature = 0;
  EXPECT_THROW(generate(scorer, std::vector<int64_t>{1}, options), Error);
  options = {};
  options.sampling.top_p = 1.5;
  EXPECT_THROW(generate(scorer, std::vector<int64_t>{1}, options), Error);
  options = {};
  options.num_samples = 0;
  EXPECT_THROW(generate(scorer, std::vector<int64_t>{1}, options), Error);
}

}  // namespace
}  // namespace quantnoise::search
