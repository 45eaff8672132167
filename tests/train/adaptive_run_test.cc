// Whole runs with adaptive input and softmax: learning, stopping and going on, quantization by stages.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "quantnoise/base/error.h"
#include "quantnoise/base/file.h"
#include "quantnoise/data/dataset.h"
#include "quantnoise/pack/model_file.h"
#include "quantnoise/quant/slot.h"
#include "quantnoise/train/evaluate.h"
#include "quantnoise/train/model_io.h"
#include "run_fixture.h"

namespace quantnoise::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

/// The recipe's kind of run: about nine updates an epoch.
const Options& recipe_run() {
  static const Options options = with(adaptive_options(), {{"optimizer", "nag"},
                                                           {"lr", "0.3"},
                                                           {"clip-norm", "0.1"},
                                                           {"lr-scheduler", "cosine"},
                                                           {"update-freq", "3"},
                                                           {"decoder-layerdrop", "0.3"},
                                                           {"adaptive-softmax-dropout", "0.1"},
                                                           {"quant-noise-pq", "0.1"},
                                                           {"quant-noise-pq-block-size", "8"},
                                                           {"max-update", "15"},
                                                           {"save-interval-updates", "3"}});
  return options;
}

class AdaptiveRun : public RunFixture {
 protected:
  /// Bits a token of the validation split, from the file alone.
  double evaluate(const std::string& model) const {
    const train::LoadedModel loaded = train::load_model(model);
    train::LmEvaluationOptions options;
    options.tokens_per_sample = 16;
    options.batch_size = 3;
    options.softmax_batch = 7;
    const auto data = data::LanguageModelData::open(this->data());
    return train::evaluate_lm(*loaded.model, data, "valid", options).sum.loss();
  }
  /// recipes/wiki103_ipq.yaml for this size.
  std::string stages() const {
    base::write_text_file(path("stages.yaml"), R"(n_centroids:
  Linear: {key: in_features, value: {"*": 16}}
  Embedding: {key: embedding_dim, value: {"*": 12}}
block_sizes:
  Linear: {key: fuzzy_name, value: {fc: 8, attn: 4, emb: 4}}
  Embedding: {key: fuzzy_name, value: {emb: 8}}
layers_to_quantize:
  - decoder\.layers\.\d+\.fc[12]
  - decoder\.embed_tokens\.embeddings\.[012]\.[01]
  - decoder\.layers\.\d+\.self_attn\.(k_proj|v_proj|q_proj|out_proj)
)");
    return path("stages.yaml");
  }
  void train_dense() const { train("dense", with(recipe_run(), {{"max-update", "40"}})); }
  /// Four updates a stage; goes on when save_dir holds a checkpoint.
  Options staged(const std::string& save_dir) const {
    Options options = with(recipe_run(), {{"quantization-config-path", stages()},
                                          {"restore-file", path("dense/checkpoint_best.qn")},
                                          {"lr", "0.02"},
                                          {"max-update", "12"}});
    const std::string last = path(save_dir + "/checkpoint_last.qn");
    if (std::filesystem::exists(last)) options["restore-file"] = last;
    return options;
  }
};

TEST_F(AdaptiveRun, Learns) {
  const RunResult run =
      train("run", with(adaptive_options(), {{"max-update", "150"}, {"log-interval", "1"}}));
  const double start = run.events("train_inner").front().at("loss");
  const double end = run.events("done").front().at("valid_loss");
  EXPECT_GT(start, kUnigramBits);
  EXPECT_LT(end, 0.5 * kUnigramBits);
  EXPECT_NEAR(evaluate(path("run/model.qn")), end, 1e-6 * end);
}

TEST_F(AdaptiveRun, LearnsAsTheRecipeDoes) {
  const RunResult run = train("run", with(recipe_run(), {{"max-update", "100"},
                                                         {"log-interval", "1"},
                                                         {"save-interval-updates", "0"},
                                                         {"warmup-updates", "10"},
                                                         {"lr", "1"}}));
  const double start = run.events("train_inner").front().at("loss");
  const double end = run.events("done").front().at("valid_loss");
  EXPECT_LT(end, 0.75 * start);
  EXPECT_LT(end, 0.75 * kUnigramBits);
  EXPECT_THAT(run.text(), HasSubstr("decoder.embed_tokens.embeddings.2.1"));
}

TEST_F(AdaptiveRun, KilledAnywhereGoesOnToTheBit) {
  train("whole", recipe_run());
  for (const int updates : {1, 3, 4, 8, 10, 14}) {
    SCOPED_TRACE(updates);
    const std::string folder = "killed" + std::to_string(updates);
    train_until_killed(folder, recipe_run(), updates);
    EXPECT_EQ(train(folder, recipe_run()).exit_code, 0);
    EXPECT_TRUE(model_bytes(folder) == model_bytes("whole"));
  }
}

TEST_F(AdaptiveRun, KilledInAndBetweenStagesGoesOnToTheBit) {
  train_dense();
  const RunResult whole = train("whole", staged("whole"));
  ASSERT_EQ(whole.events("stage").size(), 3U);
  for (const int updates : {1, 3, 4, 5, 7, 8, 9, 11}) {
    SCOPED_TRACE(updates);
    const std::string folder = "killed" + std::to_string(updates);
    train_until_killed(folder, staged(folder), updates);
    EXPECT_EQ(train(folder, staged(folder)).exit_code, 0);
    EXPECT_TRUE(model_bytes(folder) == model_bytes("whole"));
  }
}

TEST_F(AdaptiveRun, FilesOfAllStagesGiveThePrintedPerplexity) {
  train_dense();
  const RunResult run = train("run", staged("run"));
  const auto stages = run.events("stage");
  ASSERT_EQ(stages.size(), 3U);
  EXPECT_EQ(stages[0].at("layers"), 4);
  EXPECT_EQ(stages[1].at("layers"), 6);
  EXPECT_EQ(stages[2].at("layers"), 8);
  uint64_t bytes = std::filesystem::file_size(path("dense/model.qn"));
  for (const auto& stage : stages) {
    SCOPED_TRACE(stage.dump());
    const std::string file = stage.at("path");
    const double perplexity = stage.at("valid_ppl");
    EXPECT_NEAR(std::exp2(evaluate(file)), perplexity, 1e-6 * perplexity);
    EXPECT_EQ(std::filesystem::file_size(file), stage.at("bytes"));
    EXPECT_LT(std::filesystem::file_size(file), bytes);
    bytes = std::filesystem::file_size(file);
  }
  const double perplexity = run.events("done").at(0).at("valid_ppl");
  EXPECT_NEAR(std::exp2(evaluate(path("run/model.qn"))), perplexity, 1e-6 * perplexity);
}

/// Canonical path of every weight that stands at a second place, with that place.
const std::map<std::string, std::string>& ties() {
  static const std::map<std::string, std::string> ties = {
      {"decoder.embed_tokens.embeddings.0.0", "decoder.adaptive_softmax.head.word_proj"},
      {"decoder.embed_tokens.embeddings.1.0", "decoder.adaptive_softmax.tail.0.2"},
      {"decoder.embed_tokens.embeddings.1.1", "decoder.adaptive_softmax.tail.0.0"},
      {"decoder.embed_tokens.embeddings.2.0", "decoder.adaptive_softmax.tail.1.2"},
      {"decoder.embed_tokens.embeddings.2.1", "decoder.adaptive_softmax.tail.1.0"}};
  return ties;
}

/// Both ends of every tie hold the weight of the file, represented so.
void expect_ties(const std::string& path, const std::string& scheme) {
  SCOPED_TRACE(path);
  const train::LoadedModel loaded = train::load_model(path);
  size_t num_ties = 0;
  for (const quant::NamedSlot& named : quant::named_slots(*loaded.model)) {
    const auto tie = ties().find(named.name);
    if (tie == ties().end()) {
      EXPECT_TRUE(named.aliases.empty()) << named.name;
      continue;
    }
    ++num_ties;
    SCOPED_TRACE(named.name);
    EXPECT_EQ(named.aliases, std::vector<std::string>{tie->second});
    EXPECT_EQ(loaded.file.ties.at(tie->second + ".weight"), named.name + ".weight");
    EXPECT_FALSE(loaded.file.weights.contains(tie->second + ".weight"));
    EXPECT_EQ(named.slot->representation().scheme(), scheme);
    const std::vector<float> stored = codec::unpack_to_float(loaded.file.weights.at(named.name + ".weight"));
    ASSERT_EQ(named.slot->owners().size(), 2U);
    for (const quant::SlotOwner* owner : named.slot->owners()) {
      const at::Tensor value = owner->slot()->value(/*training=*/false, at::kFloat).contiguous();
      const float* begin = value.const_data_ptr<float>();
      EXPECT_EQ(std::vector<float>(begin, begin + value.numel()), stored);
    }
  }
  EXPECT_EQ(num_ties, ties().size());
}

TEST_F(AdaptiveRun, TiesAreEqualAtBothEndsAfterLoading) {
  train_dense();
  train("run", staged("run"));
  expect_ties(path("dense/model.qn"), "dense");
  expect_ties(path("run/model_stage1.qn"), "dense");
  expect_ties(path("run/model_stage2.qn"), "pq");
  expect_ties(path("run/model.qn"), "pq");
  expect_ties(path("run/checkpoint_last.qn"), "pq");
}

TEST_F(AdaptiveRun, PaddingStaysZero) {
  train_dense();
  train("run", staged("run"));
  for (const char* name : {"dense/model.qn", "run/model.qn"}) {
    const pack::ModelFile file = pack::read_model_file(path(name));
    const codec::PackedWeight& table = file.weights.at("decoder.embed_tokens.embeddings.0.0.weight");
    const std::vector<float> values = codec::unpack_to_float(table);
    const auto row = values.begin() + table.cols();
    EXPECT_TRUE(std::all_of(row, row + table.cols(), [](float value) { return value == 0; })) << name;
  }
}

TEST_F(AdaptiveRun, AdaptiveLossNeedsAnAdaptiveSoftmax) {
  EXPECT_THAT(error_of("x", {{"criterion", "adaptive_loss"}}),
              AllOf(StartsWith(std::to_string(static_cast<int>(ErrorKind::kConfig)) + ": "),
                    HasSubstr("--criterion adaptive_loss"), HasSubstr("no adaptive softmax"),
                    HasSubstr("--adaptive-softmax-cutoff")));
  EXPECT_FALSE(std::filesystem::exists(path("x")));
}

TEST_F(AdaptiveRun, CrossEntropyIsTheSameLoss) {
  const Options options = with(adaptive_options(), {{"max-update", "4"}, {"log-interval", "1"}});
  const RunResult adaptive_loss = train("adaptive_loss", options);
  const RunResult cross_entropy = train("cross_entropy", with(options, {{"criterion", "cross_entropy"}}));
  const auto expected = adaptive_loss.events("train_inner");
  const auto found = cross_entropy.events("train_inner");
  ASSERT_EQ(found.size(), 4U);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(found[i].at("loss"), expected[i].at("loss"));
    EXPECT_EQ(found[i].at("gnorm"), expected[i].at("gnorm"));
  }
  EXPECT_TRUE(model_bytes("cross_entropy") == model_bytes("adaptive_loss"));
}

}  // namespace
}  // namespace quantnoise::test
