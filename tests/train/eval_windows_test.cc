// Windows of an evaluation with context, their order, batches and scores, against
// tests/golden/train/eval_windows.py.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "../base/temporary_folder.h"
#include "golden_file.h"
#include "quantnoise/base/error.h"
#include "quantnoise/data/dataset.h"
#include "quantnoise/text/indexed_dataset.h"
#include "quantnoise/train/evaluate.h"

namespace quantnoise::train {
namespace {

using nlohmann::json;
using Numbers = std::vector<int64_t>;

/// The toy model of the golden values: the logit of word v is 2 sin(1.3 token + 0.7 v) + 0.4 cos(0.9 v +
/// place).
class ToyModel : public models::LanguageModel {
 public:
  ToyModel(int64_t vocabulary, int64_t max_positions)
      : words_(torch::arange(vocabulary, at::kDouble)), max_positions_(max_positions) {}
  at::Tensor features(const at::Tensor& tokens, models::DecoderCache*) override {
    const at::Tensor places = torch::arange(tokens.size(1), at::kDouble).view({1, -1, 1});
    const at::Tensor seen = tokens.to(at::kDouble).unsqueeze(-1);
    return 2 * torch::sin(1.3 * seen + 0.7 * words_) + 0.4 * torch::cos(0.9 * words_ + places);
  }
  at::Tensor output(const at::Tensor& features) override { return features; }
  at::Tensor nll_sum(const at::Tensor& features, const at::Tensor& targets) override {
    return -target_log_probs(features, targets).sum();
  }
  at::Tensor target_log_probs(const at::Tensor& features, const at::Tensor& targets) override {
    const at::Tensor log_probs = torch::log_softmax(features, -1);
    return log_probs.gather(-1, targets.unsqueeze(-1)).squeeze(-1).masked_fill(targets.eq(text::kPad), 0);
  }
  int64_t max_positions() const override { return max_positions_; }
  std::string architecture() const override { return "toy"; }
  std::string options_json() const override { return "{}"; }

 private:
  at::Tensor words_;
  int64_t max_positions_;
};

/// The numbers of a row, and that nothing but padding follows them.
Numbers padded_row(const at::Tensor& matrix, int64_t row, int64_t length) {
  const at::Tensor values = matrix[row].contiguous();
  EXPECT_TRUE(values.narrow(0, length, values.size(0) - length).eq(text::kPad).all().item<bool>());
  return {values.const_data_ptr<int64_t>(), values.const_data_ptr<int64_t>() + length};
}

/// One case of the golden file.
struct Case {
  explicit Case(const json& values)
      : golden(values),
        sentences(values.at("sentences").get<std::vector<Numbers>>()),
        max_positions(values.at("max_positions")),
        context_window(values.at("context_window")),
        block_size(values.at("tokens_per_sample").get<int64_t>() - context_window),
        mode(text::parse_break_mode(values.at("break_mode").get<std::string>())) {}

  std::string name() const {
    return str_cat(golden.at("text"), ", ", golden.at("break_mode"), ", ", golden.at("tokens_per_sample"),
                   " tokens a sample, context ", context_window, ", at most ", max_positions);
  }
  std::string split() const { return golden.at("text"); }
  Numbers samples() const {
    Numbers samples;
    for (const json& window : golden.at("windows")) samples.push_back(window.at("sample"));
    return samples;
  }
  data::ContextWindowDataset dataset() const {
    data::LanguageModelOptions options;
    options.tokens_per_sample = block_size;
    options.sample_break_mode = mode;
    const auto stream =
        std::make_shared<const data::TokenStream>(data::TokenStream::from_sentences(sentences));
    return {std::make_shared<const data::LanguageModelDataset>(stream, options), block_size, context_window};
  }
  data::BatchList batches(const data::ContextWindowDataset& dataset, const json& limits) const {
    return evaluation_batches(dataset, limits.at("max_tokens"), limits.at("batch_size"), max_positions);
  }

  json golden;
  std::vector<Numbers> sentences;
  int64_t max_positions;
  int64_t context_window;
  int64_t block_size;
  data::BreakMode mode;
};

class EvalWindows : public testing::Test {
 protected:
  EvalWindows() {
    const json golden = test::golden_file("eval_windows.json");
    vocabulary_ = golden.at("vocabulary");
    for (const json& item : golden.at("cases")) cases_.emplace_back(item);
  }
  /// A data folder with a split for each text.
  data::LanguageModelData data_folder() const {
    text::Dictionary dictionary;
    while (dictionary.size() < vocabulary_) dictionary.add_symbol(str_cat("w", dictionary.size()));
    dictionary.save(folder_.file("dict.txt"));
    for (const Case& item : cases_) {
      if (text::IndexedDataset::exists(folder_.file(item.split()))) continue;
      text::IndexedDatasetWriter writer(folder_.file(item.split()), text::TokenType::kUint16);
      for (const Numbers& sentence : item.sentences) writer.add(sentence);
      writer.finish();
    }
    return data::LanguageModelData::open(folder_.path());
  }

  test::TemporaryFolder folder_;
  std::vector<Case> cases_;
  int64_t vocabulary_ = 0;
};

TEST_F(EvalWindows, OrderAndBatches) {
  for (const Case& item : cases_) {
    SCOPED_TRACE(item.name());
    const data::ContextWindowDataset dataset = item.dataset();
    EXPECT_EQ(dataset.size(), std::ssize(item.samples()) + std::ssize(item.golden.at("left_out")));
    for (const json& limits : item.golden.at("batches")) {
      const data::BatchList found = item.batches(dataset, limits);
      std::vector<Numbers> groups;
      for (int64_t i = 0; i < found.size(); ++i) groups.emplace_back(found[i].begin(), found[i].end());
      EXPECT_EQ(groups, limits.at("samples").get<std::vector<Numbers>>()) << limits.dump();
    }
  }
}

/// Tokens, targets and starts of the windows; those of samples alone when there is no context to speak of.
void expect_windows(const Case& item) {
  SCOPED_TRACE(item.name());
  const Numbers samples = item.samples();
  const data::Batch batch = item.dataset().collate(samples);
  EXPECT_EQ(batch.num_tokens, item.golden.at("num_scored"));
  for (size_t i = 0; i < samples.size(); ++i) {
    SCOPED_TRACE(testing::Message() << "sample " << samples[i]);
    const json& window = item.golden.at("windows").at(i);
    const auto row = static_cast<int64_t>(i);
    const auto length = std::ssize(window.at("tokens"));
    EXPECT_EQ(batch.start_indices[i], window.at("start"));
    EXPECT_EQ(batch.lengths[i], length);
    EXPECT_EQ(padded_row(batch.tokens, row, length), window.at("tokens").get<Numbers>());
    EXPECT_EQ(padded_row(batch.target, row, length), window.at("target").get<Numbers>());
  }
}

TEST_F(EvalWindows, TokensTargetsAndStarts) {
  for (const Case& item : cases_) {
    if (item.max_positions == 0) expect_windows(item);
  }
}

TEST_F(EvalWindows, ScoresForAnyBatches) {
  ToyModel model(vocabulary_, 0);
  for (const Case& item : cases_) {
    if (item.max_positions > 0) continue;
    SCOPED_TRACE(item.name());
    const data::ContextWindowDataset dataset = item.dataset();
    for (const json& limits : item.golden.at("batches")) {
      const NllSum sum = evaluate_nll(model, dataset, item.batches(dataset, limits));
      EXPECT_EQ(sum.num_tokens, item.golden.at("num_scored"));
      EXPECT_NEAR(sum.nll / item.golden.at("nll").get<double>(), 1, 1e-6) << limits.dump();
      EXPECT_NEAR(sum.loss() / item.golden.at("loss").get<double>(), 1, 1e-6);
      EXPECT_NEAR(sum.perplexity() / item.golden.at("perplexity").get<double>(), 1, 5e-6);
    }
  }
}

/// evaluate_lm from the files on.
void expect_evaluation(const Case& item, const data::LanguageModelData& data, int64_t vocabulary) {
  SCOPED_TRACE(item.name());
  // In this toy any sequence is short enough, unless the case says otherwise.
  ToyModel model(vocabulary, item.max_positions > 0 ? item.max_positions : 1000);
  LmEvaluationOptions options;
  options.tokens_per_sample = item.golden.at("tokens_per_sample");
  options.context_window = item.context_window;
  options.sample_break_mode = item.mode;
  options.batch_size = 2;
  options.softmax_batch = 3;
  Numbers order;
  std::vector<std::vector<double>> scores;
  options.on_words = [&](int64_t sample, const std::vector<WordScores::Word>& words) {
    order.push_back(sample);
    scores.emplace_back();
    for (const WordScores::Word& word : words) scores.back().push_back(word.log_prob);
  };
  const LmEvaluation found = evaluate_lm(model, data, item.split(), options);
  EXPECT_EQ(found.num_samples, item.golden.at("num_samples"));
  EXPECT_EQ(found.sum.num_tokens, item.golden.at("num_scored"));
  EXPECT_NEAR(found.sum.nll / item.golden.at("nll").get<double>(), 1, 1e-6);
  EXPECT_EQ(order, item.samples());
  const auto expected = item.golden.at("log_probs_of_window_1").get<std::vector<double>>();
  EXPECT_THAT(scores.at(std::min<size_t>(1, scores.size() - 1)),
              testing::Pointwise(testing::DoubleNear(1e-5), expected));
}

TEST_F(EvalWindows, WholeSplitsWordByWord) {
  const data::LanguageModelData data = data_folder();
  for (const Case& item : cases_) {
    if (item.max_positions == 0) expect_evaluation(item, data, vocabulary_);
  }
}

class CountingModel : public ToyModel {
 public:
  using ToyModel::ToyModel;
  at::Tensor target_log_probs(const at::Tensor& features, const at::Tensor& targets) override {
    largest = std::max(largest, targets.numel());
    return ToyModel::target_log_probs(features, targets);
  }
  int64_t largest = 0;  ///< targets that were scored at a time
};

TEST_F(EvalWindows, BatchesHaveTheSizeAskedFor) {
  const data::LanguageModelData data = data_folder();
  struct Found {
    int64_t samples;
    int64_t batches;
    int64_t largest;
  };
  const auto evaluate = [&](const LmEvaluationOptions& limits) {
    LmEvaluationOptions options = limits;
    options.tokens_per_sample = 8;
    CountingModel model(vocabulary_, 1000);
    Found found{};
    options.on_progress = [&](int64_t done, int64_t) { found.batches = done; };
    found.samples = evaluate_lm(model, data, cases_.front().split(), options).num_samples;
    found.largest = model.largest;
    return found;
  };
  const Found whole = evaluate({});
  ASSERT_GT(whole.samples, 4);
  EXPECT_EQ(whole.batches, 1);
  EXPECT_GT(whole.largest, 8);
  EXPECT_EQ(evaluate({.batch_size = 1}).batches, whole.samples);
  EXPECT_EQ(evaluate({.batch_size = 3}).batches, (whole.samples + 2) / 3);
  EXPECT_EQ(evaluate({.max_tokens = 8}).batches, whole.samples);
  EXPECT_EQ(evaluate({.softmax_batch = 3}).largest, 3);
}

/// The reference gives a sample that was left out to nobody as context; here a window depends on the text
/// alone, so that the same target has the same score whatever else is evaluated.
TEST_F(EvalWindows, SamplesLeftOutStayContext) {
  int num_cases = 0;
  for (const Case& item : cases_) {
    if (item.max_positions == 0) continue;
    SCOPED_TRACE(item.name());
    const data::ContextWindowDataset dataset = item.dataset();
    EXPECT_EQ(dataset.collate(item.samples()).num_tokens, item.golden.at("num_scored"));
    for (const int64_t left_out : item.golden.at("left_out").get<Numbers>()) {
      if (left_out + 1 == dataset.size()) continue;
      EXPECT_FALSE(dataset.context(left_out + 1).empty()) << left_out;
    }
    ++num_cases;
  }
  EXPECT_GE(num_cases, 3);
}

}  // namespace
}  // namespace quantnoise::train
