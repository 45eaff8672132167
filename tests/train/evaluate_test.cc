#include "quantnoise/train/evaluate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "quantnoise/base/error.h"

namespace quantnoise::train {
namespace {

using testing::ElementsAre;

constexpr int64_t kVocabulary = 12;

/// Sees a token and the number of tokens before it: enough to notice lost context. log p is a fixed random
/// table.
class TableModel : public models::LanguageModel {
 public:
  TableModel()
      : table_(torch::randn({kVocabulary, kVocabulary}, at::make_generator<at::CPUGeneratorImpl>(7))) {}
  at::Tensor features(const at::Tensor& tokens, models::DecoderCache* cache) override {
    const at::Tensor position =
        torch::arange(tokens.size(1)).to(torch::kFloat).unsqueeze(0).expand_as(tokens);
    const at::Tensor sharpness = 1 + 0.01 * position;
    return table_.index({tokens}) * sharpness.unsqueeze(-1);
  }
  at::Tensor output(const at::Tensor& features) override { return features; }
  at::Tensor nll_sum(const at::Tensor& features, const at::Tensor& targets) override {
    return -target_log_probs(features, targets).sum();
  }
  at::Tensor target_log_probs(const at::Tensor& features, const at::Tensor& targets) override {
    largest_projection = std::max(largest_projection, targets.numel());
    const at::Tensor log_probs = torch::log_softmax(features, -1);
    return log_probs.gather(-1, targets.unsqueeze(-1)).squeeze(-1).masked_fill(targets.eq(text::kPad), 0);
  }
  int64_t max_positions() const override { return 64; }
  std::string architecture() const override { return "table"; }
  std::string options_json() const override { return "{}"; }

  int64_t largest_projection = 0;

 private:
  at::Tensor table_;
};

std::shared_ptr<const data::LanguageModelDataset> make_dataset(data::BreakMode mode,
                                                               int64_t tokens_per_sample) {
  std::vector<std::vector<int64_t>> sentences;
  for (int64_t i = 0; i < 20; ++i) {
    std::vector<int64_t> sentence;
    for (int64_t j = 0; j <= (i * 7) % 9; ++j) sentence.push_back(4 + (i * 5 + j * 3) % 8);
    sentence.push_back(text::kEos);
    sentences.push_back(sentence);
  }
  auto stream = std::make_shared<data::TokenStream>(data::TokenStream::from_sentences(sentences));
  data::LanguageModelOptions options;
  options.tokens_per_sample = tokens_per_sample;
  options.sample_break_mode = mode;
  return std::make_shared<data::LanguageModelDataset>(stream, options);
}

TEST(EvaluateNll, EqualsTheSumOverSamples) {
  TableModel model;
  const auto dataset = make_dataset(data::BreakMode::kComplete, 15);
  double expected = 0;
  int64_t tokens = 0;
  for (int64_t i = 0; i < dataset->size(); ++i) {
    const std::vector<int64_t> id = {i};
    const data::Batch batch = dataset->collate(id);
    const at::Tensor log_probs = torch::log_softmax(model.features(batch.tokens, nullptr), -1);
    expected -= log_probs.gather(-1, batch.target.unsqueeze(-1)).sum().item<double>();
    tokens += batch.num_tokens;
  }
  const NllSum sum = evaluate_nll(model, *dataset, evaluation_batches(*dataset, 0, 0, 0));
  EXPECT_EQ(sum.num_tokens, tokens);
  EXPECT_NEAR(sum.nll / expected, 1, 1e-6);
}

TEST(EvaluateNll, DoesNotDependOnBatchesNorSoftmaxChunks) {
  TableModel model;
  const auto dataset = make_dataset(data::BreakMode::kEos, 0);
  const NllSum whole = evaluate_nll(model, *dataset, evaluation_batches(*dataset, 0, 0, 0));
  for (const int64_t batch_size : {1, 3, 8}) {
    for (const int64_t chunk : {0, 1, 5}) {
      model.largest_projection = 0;
      const NllSum sum = evaluate_nll(model, *dataset, evaluation_batches(*dataset, 0, batch_size, 0),
                                      {at::kFloat, chunk, {}});
      EXPECT_EQ(sum.num_tokens, whole.num_tokens);
      EXPECT_NEAR(sum.nll / whole.nll, 1, 1e-6) << batch_size << " " << chunk;
      if (chunk > 0) {
        EXPECT_LE(model.largest_projection, chunk);
      }
    }
  }
}

TEST(EvaluateNll, ContextIsSeenButNotScored) {
  TableModel model;
  const auto blocks = make_dataset(data::BreakMode::kNone, 8);
  const data::ContextWindowDataset with_context(blocks, 8, 12);
  const auto batches = [&](int64_t size) { return evaluation_batches(with_context, 0, size, 0); };
  const NllSum plain = evaluate_nll(model, *blocks, evaluation_batches(*blocks, 0, 4, 0));
  const NllSum first = evaluate_nll(model, with_context, batches(4));
  EXPECT_EQ(plain.num_tokens, first.num_tokens);
  EXPECT_NE(plain.nll, first.nll);
  EXPECT_NEAR(evaluate_nll(model, with_context, batches(1)).nll / first.nll, 1, 1e-6);
}

TEST(EvaluateNll, RestoresTheModelsMode) {
  TableModel model;
  model.train();
  const auto dataset = make_dataset(data::BreakMode::kNone, 8);
  bool was_training = true;
  EvaluateOptions options;
  options.on_batch = [&](const data::Batch&, const at::Tensor&) { was_training = model.is_training(); };
  evaluate_nll(model, *dataset, evaluation_batches(*dataset, 0, 0, 0), options);
  EXPECT_FALSE(was_training);
  EXPECT_TRUE(model.is_training());
}

class BrokenModel : public TableModel {
 public:
  explicit BrokenModel(float value) : value_(value) {}
  at::Tensor target_log_probs(const at::Tensor& features, const at::Tensor& targets) override {
    at::Tensor scores = TableModel::target_log_probs(features, targets);
    scores.view(-1)[0] = value_;
    return scores;
  }

 private:
  float value_;
};

TEST(EvaluateNll, SkipsImpossibleTargetsAndRefusesNotANumber) {
  const auto dataset = make_dataset(data::BreakMode::kNone, 200);
  const data::BatchList batches = evaluation_batches(*dataset, 0, 0, 0);
  BrokenModel impossible(-INFINITY);
  const NllSum sum = evaluate_nll(impossible, *dataset, batches);
  EXPECT_EQ(sum.num_skipped, 1);
  EXPECT_TRUE(std::isfinite(sum.nll));
  BrokenModel broken(NAN);
  EXPECT_THROW(evaluate_nll(broken, *dataset, batches), Error);
}

TEST(EvaluationBatches, DefaultLimitAndTooLongSamples) {
  const auto dataset = make_dataset(data::BreakMode::kEos, 0);
  EXPECT_EQ(evaluation_batches(*dataset, 0, 0, 0).size(), 1);
  EXPECT_EQ(evaluation_batches(*dataset, 0, 1, 0).size(), dataset->size());
  EXPECT_LT(static_cast<int64_t>(evaluation_batches(*dataset, 0, 0, 5).indices.size()), dataset->size());
}

}  // namespace
}  // namespace quantnoise::train
