#include "quantnoise/train/trainer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "../quant/seeded.h"
#include "golden_file.h"
#include "quantnoise/base/error.h"
#include "quantnoise/quant/context.h"

namespace quantnoise::train {
namespace {

using testing::HasSubstr;

/// A table of logits: row = token seen. A second parameter can spoil the gradient.
class TableModel : public models::LanguageModel {
 public:
  explicit TableModel(const at::Tensor& table) {
    table_ = register_parameter("table", table);
    extra_ = register_parameter("extra", torch::zeros({1}));
  }
  at::Tensor features(const at::Tensor& tokens, models::DecoderCache*) override {
    clocks.push_back(quant::noise_clock());
    draws.push_back(torch::rand({1}).item<float>());
    return torch::embedding(table_, tokens);
  }
  at::Tensor output(const at::Tensor& features) override { return features; }
  at::Tensor nll_sum(const at::Tensor& features, const at::Tensor& targets) override {
    const at::Tensor loss = torch::nn::functional::cross_entropy(
        features.flatten(0, 1), targets.flatten(),
        torch::nn::functional::CrossEntropyFuncOptions().ignore_index(text::kPad).reduction(torch::kSum));
    // √0 has an infinite gradient.
    return spoil_gradient ? loss + extra_.sqrt().sum() : loss;
  }
  at::Tensor target_log_probs(const at::Tensor& features, const at::Tensor& targets) override {
    return features;
  }
  int64_t max_positions() const override { return 64; }
  std::string architecture() const override { return "table"; }
  std::string options_json() const override { return "{}"; }

  const at::Tensor& table() const { return table_; }

  bool spoil_gradient = false;
  std::vector<quant::NoiseClock> clocks;
  std::vector<float> draws;

 private:
  at::Tensor table_;
  at::Tensor extra_;
};

at::Tensor matrix(const nlohmann::json& rows) {
  std::vector<at::Tensor> tensors;
  for (const auto& row : rows) tensors.push_back(torch::tensor(row.get<std::vector<double>>(), at::kDouble));
  return torch::stack(tensors);
}

data::Batch make_batch(const nlohmann::json& sentences) {
  data::Batch batch;
  std::vector<at::Tensor> tokens;
  std::vector<at::Tensor> targets;
  for (const auto& sentence : sentences) {
    tokens.push_back(torch::tensor(sentence.at("tokens").get<std::vector<int64_t>>(), at::kLong));
    targets.push_back(torch::tensor(sentence.at("target").get<std::vector<int64_t>>(), at::kLong));
  }
  batch.tokens = torch::stack(tokens);
  batch.target = torch::stack(targets);
  batch.num_sentences = batch.tokens.size(0);
  batch.num_tokens = batch.target.ne(text::kPad).sum().item<int64_t>();
  return batch;
}

std::vector<data::Batch> make_batches(const nlohmann::json& batches) {
  std::vector<data::Batch> result;
  for (const auto& batch : batches) result.push_back(make_batch(batch));
  return result;
}

Trainer make_trainer(const std::shared_ptr<TableModel>& model, double clip_norm, bool sentence_avg) {
  LrSchedulerOptions schedule;
  schedule.lr = {0.5};
  auto optimizer = make_optimizer("sgd", {});
  optimizer->bind(quant::unique_parameters(*model));
  return Trainer(model, make_criterion("cross_entropy", {sentence_avg}), std::move(optimizer),
                 make_lr_scheduler("fixed", schedule), {.seed = 3, .clip_norm = clip_norm});
}

TEST(Trainer, MakesTheGoldenUpdates) {
  const nlohmann::json golden = test::golden_file("trainer.json");
  for (const auto& item : golden.at("cases")) {
    const auto model = std::make_shared<TableModel>(matrix(golden.at("start")).to(at::kFloat));
    Trainer trainer = make_trainer(model, item.at("clip_norm"), item.at("sentence_avg"));
    for (size_t i = 0; i < golden.at("updates").size(); ++i) {
      SCOPED_TRACE(testing::Message() << "clip " << item.at("clip_norm") << ", update " << i);
      const nlohmann::json& expected = item.at("results").at(i);
      const UpdateStats stats = trainer.update(make_batches(golden.at("updates").at(i)));
      EXPECT_NEAR(stats.loss, expected.at("loss"), 1e-4);
      EXPECT_EQ(stats.sample_size, expected.at("sample_size"));
      EXPECT_EQ(stats.num_tokens, expected.at("tokens"));
      EXPECT_NEAR(stats.gradient_norm, expected.at("norm"), 1e-5);
      EXPECT_EQ(stats.clipped, item.at("clip_norm") > 0 && expected.at("norm") > item.at("clip_norm"));
      EXPECT_LT((model->table().to(at::kDouble) - matrix(expected.at("table"))).abs().max().item<double>(),
                2e-6);
    }
  }
}

TEST(Trainer, SetsTheNoiseClockAndTheSeedForEveryUpdate) {
  const nlohmann::json golden = test::golden_file("trainer.json");
  const std::vector<data::Batch> batches = make_batches(golden.at("updates").at(1));
  const auto model = std::make_shared<TableModel>(torch::zeros({7, 7}));
  Trainer trainer = make_trainer(model, 0, false);
  trainer.set_num_updates(41);
  trainer.update(batches);
  ASSERT_EQ(model->clocks.size(), 3U);
  for (uint32_t i = 0; i < 3; ++i) EXPECT_EQ(model->clocks[i], (quant::NoiseClock{3, 41, i}));
  // The same update elsewhere draws the same numbers, the next one others.
  const std::vector<float> draws = model->draws;
  torch::rand({5});
  trainer.set_num_updates(41);
  model->draws.clear();
  trainer.update(batches);
  EXPECT_EQ(model->draws, draws);
  model->draws.clear();
  trainer.update(batches);
  EXPECT_NE(model->draws, draws);
}

TEST(Trainer, EmptyBatchesWeighNothing) {
  const auto model = std::make_shared<TableModel>(torch::zeros({7, 7}));
  Trainer trainer = make_trainer(model, 0, false);
  const std::vector<data::Batch> batches(2);
  const UpdateStats stats = trainer.update(batches);
  EXPECT_EQ(stats.sample_size, 0);
  EXPECT_EQ(trainer.num_updates(), 1);
  EXPECT_TRUE(at::equal(model->table(), torch::zeros({7, 7})));
}

TEST(Trainer, NamesTheParameterThatIsNotFinite) {
  const nlohmann::json golden = test::golden_file("trainer.json");
  const auto model =
      std::make_shared<TableModel>(torch::full({7, 7}, std::numeric_limits<float>::quiet_NaN()));
  Trainer trainer = make_trainer(model, 0, false);
  try {
    trainer.update(make_batches(golden.at("updates").at(0)));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kNumeric);
    EXPECT_THAT(error.what(), HasSubstr("the loss of update 1 is nan"));
    EXPECT_THAT(error.what(), HasSubstr("parameter table"));
  }
}

TEST(Trainer, NamesTheParameterWhoseGradientIsNotFinite) {
  const nlohmann::json golden = test::golden_file("trainer.json");
  const auto model = std::make_shared<TableModel>(torch::zeros({7, 7}));
  model->spoil_gradient = true;
  Trainer trainer = make_trainer(model, 0.1, false);
  try {
    trainer.update(make_batches(golden.at("updates").at(0)));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kNumeric);
    EXPECT_THAT(error.what(), HasSubstr("the gradient of update 1 is not finite"));
    EXPECT_THAT(error.what(), HasSubstr("parameter extra"));
  }
  EXPECT_TRUE(at::equal(model->table(), torch::zeros({7, 7})));
  EXPECT_EQ(trainer.num_updates(), 0);
}

}  // namespace
}  // namespace quantnoise::train
