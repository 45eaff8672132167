// Layers left out while training, taken out of files, and shared.

#include "quantnoise/nn/layer_drop.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "quantnoise/base/error.h"
#include "quantnoise/data/dataset.h"
#include "quantnoise/pack/model_file.h"
#include "quantnoise/quant/context.h"
#include "quantnoise/train/evaluate.h"
#include "quantnoise/train/model_io.h"
#include "run_fixture.h"

namespace quantnoise::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

constexpr int64_t kNumLayers = 6;

class LayerFixture : public RunFixture {
 protected:
  double evaluate(const std::string& model) const {
    const train::LoadedModel loaded = train::load_model(model);
    train::LmEvaluationOptions options;
    options.tokens_per_sample = 16;
    options.batch_size = 5;
    const auto data = data::LanguageModelData::open(this->data());
    return train::evaluate_lm(*loaded.model, data, "valid", options).sum.loss();
  }
  /// The weights of one layer under their names inside it.
  static std::map<std::string, std::string> layer(const std::string& model, int64_t number) {
    const std::string prefix = "decoder.layers." + std::to_string(number) + ".";
    std::map<std::string, std::string> found;
    for (const auto& [name, bytes] : weights(model)) {
      if (name.starts_with(prefix)) found[name.substr(prefix.size())] = bytes;
    }
    return found;
  }
  /// All that is in no layer.
  static std::map<std::string, std::string> besides_layers(const std::string& model) {
    std::map<std::string, std::string> found = weights(model);
    std::erase_if(found, [](const auto& item) { return item.first.starts_with("decoder.layers."); });
    return found;
  }
  static uint64_t layer_bytes(const std::string& model) {
    uint64_t bytes = 0;
    for (const auto& [name, values] : weights(model)) {
      if (name.starts_with("decoder.layers.")) bytes += values.size();
    }
    return bytes;
  }
  static nlohmann::json options_in(const std::string& model) {
    return nlohmann::json::parse(pack::read_model_file(model).options_json);
  }
};

// ---- left out while training

class LayerDrop : public LayerFixture {
 protected:
  /// One update that changes whatever has a gradient.
  static Options one_update(const Options& changes = {}) {
    return with({{"decoder-layers", std::to_string(kNumLayers)},
                 {"decoder-layerdrop", "0.7"},
                 {"optimizer", "sgd"},
                 {"lr", "0.5"},
                 {"max-update", "1"},
                 {"disable-validation", "true"}},
                changes);
  }
  /// Layers of which the update has changed everything or nothing.
  struct Changes {
    std::set<int64_t> changed;
    std::set<int64_t> untouched;
  };
  Changes changes(const Options& options) const {
    train("start", with(options, {{"lr", "0"}}));
    train("end", options);
    Changes changes;
    for (int64_t i = 0; i < kNumLayers; ++i) {
      const auto before = layer(path("start/model.qn"), i);
      const auto after = layer(path("end/model.qn"), i);
      EXPECT_FALSE(before.empty());
      size_t num_changed = 0;
      for (const auto& [name, bytes] : after) num_changed += bytes != before.at(name) ? 1 : 0;
      if (num_changed == 0) changes.untouched.insert(i);
      // The bias of the keys moves all scores alike: its gradient is zero but for rounding.
      if (num_changed + 1 >= after.size()) changes.changed.insert(i);
    }
    EXPECT_EQ(changes.changed.size() + changes.untouched.size(), static_cast<size_t>(kNumLayers));
    EXPECT_NE(besides_layers(path("start/model.qn")), besides_layers(path("end/model.qn")));
    for (const char* folder : {"start", "end"}) std::filesystem::remove_all(path(folder));
    return changes;
  }
  /// Layers that take part in one of the first batches of update 0.
  static std::set<int64_t> kept_layers(uint64_t seed, double rate, uint32_t num_batches) {
    std::set<int64_t> kept;
    for (uint32_t batch = 0; batch < num_batches; ++batch) {
      quant::set_noise_clock({seed, 0, batch});
      for (int64_t i = 0; i < kNumLayers; ++i) {
        if (!nn::layer_is_dropped("decoder.layerdrop", i, rate, /*training=*/true)) kept.insert(i);
      }
    }
    return kept;
  }
};

TEST_F(LayerDrop, LayersLeftOutGetNoGradientAndTheOthersAgreeForASeed) {
  std::set<std::set<int64_t>> different;
  size_t num_kept = 0;
  for (const uint64_t seed : {1, 2, 3, 4}) {
    SCOPED_TRACE(seed);
    const Changes found = changes(one_update({{"seed", std::to_string(seed)}}));
    EXPECT_EQ(found.changed, kept_layers(seed, 0.7, 1));
    EXPECT_EQ(changes(one_update({{"seed", std::to_string(seed)}, {"num-workers", "0"}})).changed,
              found.changed);
    different.insert(found.changed);
    num_kept += found.changed.size();
  }
  EXPECT_GT(different.size(), 1U);
  EXPECT_GT(num_kept, 0U);
  EXPECT_LT(num_kept, 4U * kNumLayers);
}

TEST_F(LayerDrop, EveryBatchOfAnUpdateDrawsAnew) {
  const Changes found = changes(one_update({{"update-freq", "3"}}));
  EXPECT_EQ(found.changed, kept_layers(1, 0.7, 3));
  EXPECT_GT(found.changed.size(), kept_layers(1, 0.7, 1).size());
}

TEST_F(LayerDrop, AtZeroEveryLayerLearns) {
  EXPECT_EQ(changes(one_update({{"decoder-layerdrop", "0"}})).changed.size(),
            static_cast<size_t>(kNumLayers));
}

TEST_F(LayerDrop, OfAllLayersAtOnceIsNoError) {
  const RunResult run = train("run", one_update({{"decoder-layerdrop", "0.999"}, {"max-update", "4"}}));
  EXPECT_EQ(run.exit_code, 0);
}

// ---- taken out

class Pruning : public LayerFixture {
 protected:
  static Options four_layers(const Options& changes = {}) {
    return with({{"decoder-layers", "4"}, {"decoder-layerdrop", "0.2"}}, changes);
  }
  void train_dense() const { train("dense", four_layers({{"max-update", "30"}})); }
  /// From a file without a further word about its size.
  Options from(const std::string& file, const Options& changes = {}) const {
    return with({{"restore-file", path(file)}, {"decoder-layers", "(unset)"}}, changes);
  }
  /// The file holds these layers of the other one, and all the rest.
  void expect_layers(const std::string& pruned, const std::string& whole,
                     const std::vector<int64_t>& kept) const {
    for (size_t i = 0; i < kept.size(); ++i) {
      EXPECT_FALSE(layer(path(whole), kept[i]).empty());
      EXPECT_EQ(layer(path(pruned), static_cast<int64_t>(i)), layer(path(whole), kept[i])) << kept[i];
    }
    EXPECT_TRUE(layer(path(pruned), static_cast<int64_t>(kept.size())).empty());
    EXPECT_EQ(besides_layers(path(pruned)), besides_layers(path(whole)));
    EXPECT_EQ(options_in(path(pruned)).at("decoder_layers"), kept.size());
    EXPECT_LT(std::filesystem::file_size(path(pruned)), std::filesystem::file_size(path(whole)));
  }
};

TEST_F(Pruning, OfANewModel) {
  const RunResult whole = train("whole", four_layers());
  const RunResult run = train("run", four_layers({{"decoder-layers-to-keep", "0,2"}}));
  EXPECT_EQ(options_in(path("run/model.qn")).at("decoder_layers"), 2);
  EXPECT_EQ(2 * layer_bytes(path("run/model.qn")), layer_bytes(path("whole/model.qn")));
  EXPECT_LT(std::filesystem::file_size(path("run/model.qn")),
            std::filesystem::file_size(path("whole/model.qn")));
  const double loss = run.events("done").at(0).at("valid_loss");
  EXPECT_NEAR(evaluate(path("run/model.qn")), loss, 1e-6 * loss);
}

TEST_F(Pruning, OfARestoredDenseFile) {
  train_dense();
  for (const char* file : {"dense/model.qn", "dense/checkpoint_best.qn"}) {
    SCOPED_TRACE(file);
    const RunResult run =
        train("run", from(file, {{"decoder-layers-to-keep", "3,1"}, {"lr", "0"}, {"max-update", "1"}}));
    expect_layers("run/model.qn", "dense/model.qn", {1, 3});
    const double loss = run.events("done").at(0).at("valid_loss");
    EXPECT_NEAR(evaluate(path("run/model.qn")), loss, 1e-6 * loss);
    EXPECT_EQ(run.events("done").at(0).at("updates"), 1);
    std::filesystem::remove_all(path("run"));
  }
}

TEST_F(Pruning, TheRestLearnsOn) {
  train_dense();
  const RunResult run =
      train("run", from("dense/model.qn", {{"decoder-layers-to-keep", "0,2"}, {"max-update", "60"}}));
  EXPECT_LT(run.events("done").at(0).at("valid_loss").get<double>(), 0.8 * kUnigramBits);
}

TEST_F(Pruning, OfACompressedFile) {
  train_dense();
  quantize({{"model", path("dense/model.qn")},
            {"config", quantization_config()},
            {"output", path("compressed.qn")}});
  const RunResult run = train(
      "run", from("compressed.qn", {{"decoder-layers-to-keep", "0,3"}, {"lr", "0"}, {"max-update", "1"}}));
  expect_layers("run/model.qn", "compressed.qn", {0, 3});
  const double loss = run.events("done").at(0).at("valid_loss");
  EXPECT_NEAR(evaluate(path("run/model.qn")), loss, 1e-6 * loss);
  EXPECT_EQ(pack::read_model_file(path("run/model.qn")).weights.at("decoder.layers.1.fc1.weight").scheme,
            codec::Scheme::kProduct);
}

TEST_F(Pruning, ThenQuantizationByStages) {
  train_dense();
  const RunResult run =
      train("run", from("dense/model.qn", {{"decoder-layers-to-keep", "1,2"},
                                           {"quantization-config-path", quantization_config()},
                                           {"lr", "0.002"},
                                           {"max-update", "6"}}));
  const auto stages = run.events("stage");
  ASSERT_EQ(stages.size(), 3U);
  EXPECT_EQ(stages[0].at("layers"), 4);
  const double loss = stages[2].at("valid_loss");
  EXPECT_NEAR(evaluate(path("run/model.qn")), loss, 1e-6 * loss);
}

TEST_F(Pruning, RefusesWhatCannotBeKept) {
  train_dense();
  const std::string config = std::to_string(static_cast<int>(ErrorKind::kConfig)) + ": ";
  const auto keep = [&](const std::string& layers, bool restored) {
    const Options asked = {{"decoder-layers-to-keep", layers}};
    return error_of("x", restored ? from("dense/model.qn", asked) : four_layers(asked));
  };
  for (const bool restored : {false, true}) {
    SCOPED_TRACE(restored);
    EXPECT_THAT(keep("1,4", restored),
                AllOf(StartsWith(config), HasSubstr("found 4"), HasSubstr("from 0 to 3")));
    EXPECT_THAT(keep("1,0,1", restored), AllOf(StartsWith(config), HasSubstr("found 1 twice")));
    EXPECT_THAT(keep("", restored), AllOf(StartsWith(config), HasSubstr("decoder-layers-to-keep")));
    EXPECT_THAT(keep("-1", restored), AllOf(StartsWith(config), HasSubstr("decoder-layers-to-keep")));
    EXPECT_THAT(keep("one", restored), AllOf(StartsWith(config), HasSubstr("decoder-layers-to-keep")));
  }
  EXPECT_FALSE(std::filesystem::exists(path("x")));
}

class ResumeOfPruning : public Pruning {
 protected:
  /// Kills at several places and goes on with these options: neither starts anew nor takes layers out again.
  void expect_same_end(const Options& start, const Options& resume) {
    train("whole", start);
    for (const int updates : {4, 11}) {
      SCOPED_TRACE(updates);
      std::filesystem::remove_all(path("killed"));
      train_until_killed("killed", start, updates);
      const RunResult rest = train("killed", resume);
      EXPECT_THAT(rest.text(), HasSubstr("at update " + std::to_string(updates - updates % 3)));
      EXPECT_TRUE(model_bytes("killed") == model_bytes("whole"));
    }
    EXPECT_EQ(options_in(path("killed/model.qn")).at("decoder_layers"), 2);
  }
};

TEST_F(ResumeOfPruning, OfANewModel) {
  const Options options = four_layers({{"decoder-layers-to-keep", "0,1"}, {"save-interval-updates", "3"}});
  expect_same_end(options, options);
}

TEST_F(ResumeOfPruning, OfAFileFinetunedFrom) {
  train_dense();
  const Options options = {{"finetune-from-model", path("dense/checkpoint_best.qn")},
                           {"decoder-layers-to-keep", "0,1"},
                           {"decoder-layerdrop", "0.2"},
                           {"save-interval-updates", "3"}};
  expect_same_end(options, options);
}

TEST_F(ResumeOfPruning, OfAFileRestored) {
  train_dense();
  const Options options =
      from("dense/checkpoint_best.qn", {{"decoder-layers-to-keep", "0,1"}, {"save-interval-updates", "3"}});
  expect_same_end(options, with(options, {{"restore-file", path("killed/checkpoint_last.qn")}}));
}

TEST_F(ResumeOfPruning, TheOrderOfTheLayersDoesNotMatter) {
  const Options options = four_layers({{"decoder-layers-to-keep", "0,1"}, {"save-interval-updates", "3"}});
  expect_same_end(options, with(options, {{"decoder-layers-to-keep", "1,0"}}));
}

// ---- shared

class SharedLayers : public LayerFixture {
 protected:
  static Options shared(const Options& changes = {}) {
    return with({{"decoder-layers", "4"}, {"share-layers", "2"}}, changes);
  }
};

TEST_F(SharedLayers, AreStoredOnceAndLearn) {
  train("apart", shared({{"share-layers", "1"}, {"max-update", "1"}}));
  const RunResult run = train("run", shared({{"max-update", "100"}, {"log-interval", "1"}}));
  EXPECT_EQ(2 * layer_bytes(path("run/model.qn")), layer_bytes(path("apart/model.qn")));
  EXPECT_FALSE(layer(path("run/model.qn"), 1).empty());
  EXPECT_TRUE(layer(path("run/model.qn"), 2).empty());
  const double loss = run.events("done").at(0).at("valid_loss");
  EXPECT_LT(loss, 0.6 * run.events("train_inner").at(0).at("loss").get<double>());
  EXPECT_NEAR(evaluate(path("run/model.qn")), loss, 1e-6 * loss);
}

TEST_F(SharedLayers, GoOnToTheBit) {
  const Options options = shared({{"decoder-layerdrop", "0.3"},
                                  {"quant-noise-pq", "0.1"},
                                  {"update-freq", "2"},
                                  {"save-interval-updates", "3"}});
  train("whole", options);
  for (const int updates : {1, 4, 8}) {
    SCOPED_TRACE(updates);
    const std::string folder = "killed" + std::to_string(updates);
    train_until_killed(folder, options, updates);
    train(folder, options);
    EXPECT_TRUE(model_bytes(folder) == model_bytes("whole"));
  }
}

TEST_F(SharedLayers, AreCompressedOnce) {
  train("dense", shared({{"max-update", "30"}}));
  const RunResult run = quantize({{"model", path("dense/model.qn")},
                                  {"config", quantization_config()},
                                  {"output", path("compressed.qn")}});
  const auto stages = run.events("stage");
  ASSERT_EQ(stages.size(), 3U);
  EXPECT_EQ(stages[0].at("layers"), 4);
  EXPECT_EQ(stages[2].at("layers"), 8);
  EXPECT_LT(std::filesystem::file_size(path("compressed.qn")),
            std::filesystem::file_size(path("dense/model.qn")));
  const double dense = evaluate(path("dense/model.qn"));
  EXPECT_LT(evaluate(path("compressed.qn")), 2 * dense);
  // By stages with finetuning the file gives the printed loss.
  const RunResult staged = train("staged", {{"restore-file", path("dense/model.qn")},
                                            {"decoder-layers", "(unset)"},
                                            {"quantization-config-path", quantization_config()},
                                            {"lr", "0.002"},
                                            {"max-update", "6"}});
  const double loss = staged.events("done").at(0).at("valid_loss");
  EXPECT_NEAR(evaluate(path("staged/model.qn")), loss, 1e-6 * loss);
}

TEST_F(SharedLayers, AreKeptAndTakenOutTogether) {
  train("dense", shared());
  const RunResult run = train("run", {{"restore-file", path("dense/model.qn")},
                                      {"decoder-layers", "(unset)"},
                                      {"decoder-layers-to-keep", "1"},
                                      {"lr", "0"},
                                      {"max-update", "1"}});
  EXPECT_EQ(layer(path("run/model.qn"), 0), layer(path("dense/model.qn"), 1));
  EXPECT_EQ(options_in(path("run/model.qn")).at("decoder_layers"), 2);
  EXPECT_THAT(error_of("x", shared({{"decoder-layers-to-keep", "2"}})), HasSubstr("from 0 to 1"));
  EXPECT_THAT(error_of("x", shared({{"decoder-layers", "3"}})),
              AllOf(HasSubstr("share-layers"), HasSubstr("a divisor of the 3 decoder-layers")));
}

}  // namespace
}  // namespace quantnoise::test
