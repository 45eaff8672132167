// Quantized inputs through whole runs: what files hold, that they evaluate as the trainer did, that runs go
// on to the bit.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "quantnoise/base/error.h"
#include "quantnoise/base/file.h"
#include "quantnoise/data/dataset.h"
#include "quantnoise/pack/model_file.h"
#include "quantnoise/quant/activation.h"
#include "quantnoise/train/evaluate.h"
#include "quantnoise/train/model_io.h"
#include "quantnoise/train/prune.h"
#include "run_fixture.h"

namespace quantnoise::test {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::Key;
using testing::Not;

/// Two int8 layers with activations: calibrations of 2 updates in every 5.
const Options& scalar_run() {
  static const Options options = {{"quant-noise-scalar", "0.5"},
                                  {"scalar-update-step", "5"},
                                  {"scalar-act-calibration-updates", "2"},
                                  {"quant-noise-scalar-act", "0.3"},
                                  {"max-update", "16"},
                                  {"max-tokens", "256"},
                                  {"update-freq", "2"},
                                  {"save-interval-updates", "3"}};
  return options;
}

/// What breaks the reference on RoBERTa: post-norm, learned positions, an output of its own.
const Options& post_norm() {
  static const Options options = {{"decoder-normalize-before", "false"},
                                  {"decoder-learned-pos", "true"},
                                  {"share-decoder-input-output-embed", "false"}};
  return options;
}

class ActivationRun : public RunFixture {
 protected:
  pack::ModelFile model_of(const std::string& save_dir) const {
    return pack::read_model_file(path(save_dir + "/model.qn"));
  }
  /// Of the last checkpoint, with the optimizer's state, without that of quantized inputs.
  std::map<std::string, std::string> last_weights(const std::string& save_dir) const {
    auto all = weights(path(save_dir + "/checkpoint_last.qn"));
    std::erase_if(all, [](const auto& item) { return item.first.starts_with("training.activation."); });
    return all;
  }
  double evaluate(const train::LoadedModel& loaded, int64_t batch_size = 3,
                  at::ScalarType type = at::kFloat) const {
    const auto data = data::LanguageModelData::open(this->data());
    data::LanguageModelOptions options;
    options.tokens_per_sample = 16;
    const auto dataset = data.split("valid", options);
    train::EvaluateOptions evaluation;
    evaluation.compute_type = type;
    return train::evaluate_nll(*loaded.model, *dataset,
                               train::evaluation_batches(*dataset, 0, batch_size, 16), evaluation)
        .loss();
  }
  double evaluate(const std::string& model) const { return evaluate(train::load_model(model)); }
  /// A run's last validation is what its file gives, and without quantized inputs it would be another.
  void expect_file_agrees(const RunResult& run, const std::string& save_dir) const {
    const double reported = run.events("done").at(0).at("valid_loss");
    const train::LoadedModel loaded = train::load_model(path(save_dir + "/model.qn"));
    EXPECT_NEAR(evaluate(loaded) / reported, 1, 1e-5);
    quant::quantize_activations(*loaded.model, {});
    EXPECT_GT(std::abs(evaluate(loaded) / reported - 1), 1e-7);
  }
};

const std::vector<std::string>& layer_products() {
  static const std::vector<std::string> names = {
      "self_attn.k_proj", "self_attn.v_proj", "self_attn.q_proj", "self_attn.out_proj", "fc1", "fc2"};
  return names;
}

TEST_F(ActivationRun, EveryProductsRangeIsInTheFileAndTheFileEvaluatesAsTheTrainer) {
  const RunResult run = train("run", scalar_run());
  const pack::Activations activations = model_of("run").activations;
  EXPECT_EQ(activations.mode, pack::ActivationMode::kStatic);
  EXPECT_EQ(activations.layers.size(), 13U);
  for (const char* layer : {"decoder.layers.0.", "decoder.layers.1."}) {
    for (const std::string& name : layer_products())
      EXPECT_THAT(activations.layers, Contains(Key(layer + name)));
    const auto grid = [&](const char* name) { return activations.layers.at(str_cat(layer, name)); };
    EXPECT_EQ(grid("self_attn.k_proj").scale, grid("self_attn.q_proj").scale);
    EXPECT_EQ(grid("self_attn.k_proj").zero_point, grid("self_attn.v_proj").zero_point);
    EXPECT_EQ(grid("fc2").zero_point, 0) << "what relu gives is never negative";
    EXPECT_EQ(grid("fc1").bits, 8);
  }
  EXPECT_THAT(activations.layers, Contains(Key("decoder.output_projection")));
  EXPECT_THAT(activations.layers, Not(Contains(Key("decoder.embed_tokens"))));
  expect_file_agrees(run, "run");
}

TEST_F(ActivationRun, EvaluationDoesNotDependOnTheSizeOfBatches) {
  train("run", scalar_run());
  const train::LoadedModel loaded = train::load_model(path("run/model.qn"));
  const double one_by_one = evaluate(loaded, 1);
  EXPECT_NEAR(evaluate(loaded, 7) / one_by_one, 1, 1e-5);
  EXPECT_NEAR(evaluate(loaded, 64) / one_by_one, 1, 1e-5);
  EXPECT_EQ(evaluate(loaded, 1), one_by_one) << "evaluation changed something";
}

struct ModelCase {
  const char* name;
  Options options;
};
void PrintTo(const ModelCase& model, std::ostream* out) { *out << model.name; }

class ActivationRunOf : public ActivationRun, public testing::WithParamInterface<ModelCase> {};

TEST_P(ActivationRunOf, FileAgreesAndARunGoesOnToTheBit) {
  const Options options = with(scalar_run(), GetParam().options);
  const RunResult whole = train("whole", options);
  expect_file_agrees(whole, "whole");
  for (const int updates : {4, 9, 13}) {
    SCOPED_TRACE(updates);
    const std::string folder = "killed" + std::to_string(updates);
    train_until_killed(folder, options, updates);
    train(folder, options);
    EXPECT_TRUE(model_bytes(folder) == model_bytes("whole"));
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, ActivationRunOf,
    testing::Values(ModelCase{"prenorm", {}}, ModelCase{"bf16", {{"bf16", "true"}}},
                    ModelCase{"postnorm_learned_untied", post_norm()},
                    ModelCase{"postnorm_bf16", with(post_norm(), {{"bf16", "true"}})},
                    ModelCase{"adaptive", adaptive_options()},
                    ModelCase{"adaptive_untied", with(adaptive_options(), {{"tie-adaptive-weights", "false"},
                                                                           {"tie-adaptive-proj", "false"}})},
                    ModelCase{"dynamic", {{"scalar-act-mode", "dynamic"}}},
                    ModelCase{"clipped", {{"scalar-ste", "clipped"}}},
                    ModelCase{"shared_layers", {{"share-layers", "2"}}},
                    ModelCase{"layerdrop", {{"decoder-layerdrop", "0.5"}}},
                    ModelCase{"tensor_4_bits", {{"scalar-act-method", "tensor"}, {"scalar-act-bits", "4"}}},
                    ModelCase{"pq_noise", {{"quant-noise-pq", "0.1"}}}),
    [](const auto& info) { return info.param.name; });

TEST_F(ActivationRun, WithoutNoiseTrainingIsUntouched) {
  const Options none = with(scalar_run(), {{"quant-noise-scalar-act", "0"}, {"scalar-act-bits", "none"}});
  train("none", none);
  train("static", with(none, {{"scalar-act-bits", "8"}}));
  train("dynamic", with(none, {{"scalar-act-bits", "8"}, {"scalar-act-mode", "dynamic"}}));
  EXPECT_EQ(last_weights("static"), last_weights("none"));
  EXPECT_EQ(last_weights("dynamic"), last_weights("none"));
  EXPECT_EQ(model_of("none").activations.mode, pack::ActivationMode::kNone);
  EXPECT_EQ(model_of("dynamic").activations.mode, pack::ActivationMode::kDynamic);
}

TEST_F(ActivationRun, ScalarNoiseAloneQuantizesActivationsInEvaluation) {
  train("run", {{"quant-noise-scalar", "0.5"}});
  EXPECT_EQ(model_of("run").activations.mode, pack::ActivationMode::kStatic);
  EXPECT_EQ(model_of("run").activations.layers.at("decoder.layers.0.fc1").bits, 8);
  train("dense", {});
  EXPECT_EQ(model_of("dense").activations.mode, pack::ActivationMode::kNone);
}

TEST_F(ActivationRun, FrozenRangesStay) {
  const Options frozen =
      with(scalar_run(), {{"scalar-act-freeze-update", "3"}, {"no-epoch-checkpoints", "true"}});
  train("frozen", with(frozen, {{"max-update", "4"}}));
  train("longer", frozen);
  const auto early = model_of("frozen").activations.layers, late = model_of("longer").activations.layers;
  for (const auto& [layer, grid] : early) EXPECT_EQ(grid.scale, late.at(layer).scale) << layer;
  train("moving", scalar_run());
  EXPECT_NE(model_of("moving").activations.layers.at("decoder.layers.0.fc1").scale,
            late.at("decoder.layers.0.fc1").scale);
}

TEST_F(ActivationRun, ARestoredModelKeepsItsQuantizedInputsUnlessTold) {
  train("first", scalar_run());
  const Options next = {{"restore-file", path("first/model.qn")}, {"max-update", "3"}};
  train("kept", next);
  const auto first = model_of("first").activations, kept = model_of("kept").activations;
  ASSERT_EQ(kept.mode, pack::ActivationMode::kStatic);
  for (const auto& [layer, grid] : first.layers) EXPECT_EQ(kept.layers.at(layer).scale, grid.scale) << layer;
  train("removed", with(next, {{"scalar-act-bits", "none"}}));
  EXPECT_EQ(model_of("removed").activations.mode, pack::ActivationMode::kNone);
}

TEST_F(ActivationRun, PrunedLayersTakeTheirRangesAlong) {
  train("run", scalar_run());
  pack::ModelFile file = model_of("run");
  const auto before = file.activations.layers;
  train::keep_decoder_layers(file, {1});
  EXPECT_EQ(file.activations.layers.size(), 7U);
  EXPECT_EQ(file.activations.layers.at("decoder.layers.0.fc1").scale,
            before.at("decoder.layers.1.fc1").scale);
  pack::write_model_file(path("pruned.qn"), file);
  EXPECT_TRUE(std::isfinite(evaluate(path("pruned.qn"))));
}

TEST_F(ActivationRun, OptionsThatContradictAreRefused) {
  EXPECT_THAT(error_of("run", {{"scalar-act-bits", "8"}}), HasSubstr("no input to quantize"));
  EXPECT_THAT(error_of("run", with(scalar_run(), {{"scalar-act-bits", "none"}})),
              HasSubstr("contradicts --scalar-act-bits none"));
  EXPECT_THAT(error_of("run", with(scalar_run(), {{"scalar-act-exclude", "(("}})),
              HasSubstr("--scalar-act-exclude"));
  EXPECT_THAT(error_of("run", with(scalar_run(), {{"scalar-act-calibration-updates", "6"}})),
              HasSubstr("6 observed updates in every 5"));
  EXPECT_THAT(error_of("run", with(scalar_run(), {{"scalar-act-bits", "8"}, {"scalar-act-exclude", ".*"}})),
              HasSubstr("left out by --scalar-act-exclude"));
}

TEST_F(ActivationRun, FilesThatContradictTheModelAreRefused) {
  train("run", scalar_run());
  const auto refusal = [&](const std::function<void(pack::Activations&)>& damage) {
    pack::ModelFile file = model_of("run");
    damage(file.activations);
    pack::write_model_file(path("damaged.qn"), file);
    try {
      train::load_model(path("damaged.qn"));
    } catch (const Error& error) {
      return str_cat(static_cast<int>(error.kind()), ": ", error.what());
    }
    return std::string("no error");
  };
  const std::string format = std::to_string(static_cast<int>(ErrorKind::kFormat));
  EXPECT_THAT(refusal([](pack::Activations& a) { a.layers["decoder.layers.7.fc1"] = {}; }),
              AllOf(testing::StartsWith(format), HasSubstr("decoder.layers.7.fc1")));
  EXPECT_THAT(refusal([](pack::Activations& a) { a.layers["decoder.embed_tokens"] = {}; }),
              HasSubstr("decoder.embed_tokens"));
  EXPECT_THAT(refusal([](pack::Activations& a) { a.layers["decoder.layers.0.self_attn.q_proj"].scale *= 2; }),
              HasSubstr("several grids"));
  EXPECT_THAT(refusal([](pack::Activations& a) { a.layers.erase("decoder.layers.0.self_attn.v_proj"); }),
              HasSubstr("2 of them"));
}

// ---- without training
// -----------------------------------------------------------------------------------------------------------

class ActivationQuantize : public ActivationRun {
 protected:
  void SetUp() override { train("dense", {{"max-update", "40"}}); }
  Options quantize_options(const Options& changes = {}) const {
    return with({{"model", path("dense/model.qn")}, {"output", path("out.qn")}, {"scheme", "int8"}}, changes);
  }
  Options without_scheme(const Options& changes) const {
    Options options = quantize_options(changes);
    options.erase("scheme");
    return options;
  }
  std::string quantize_error(const Options& changes) const {
    return error_of_quantize(quantize_options(changes));
  }
  std::string error_of_quantize(const Options& options) const {
    try {
      quantize(options);
    } catch (const Error& error) {
      return str_cat(static_cast<int>(error.kind()), ": ", error.what(), "; ", error.hint());
    }
    return "no error";
  }
};

TEST_F(ActivationQuantize, CalibratedRangesAreInTheFileAndHardlyHurt) {
  const RunResult run = quantize(quantize_options({{"calibrate", data()}}));
  const auto events = run.events("activations");
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].at("layers"), 13);
  EXPECT_GT(events[0].at("tokens").get<int64_t>(), 1000);
  const pack::Activations activations = pack::read_model_file(path("out.qn")).activations;
  EXPECT_EQ(activations.mode, pack::ActivationMode::kStatic);
  EXPECT_EQ(activations.layers.size(), 13U);
  EXPECT_NEAR(evaluate(path("out.qn")) / evaluate(path("dense/model.qn")), 1, 0.01);
  EXPECT_NE(evaluate(path("out.qn")), evaluate(path("dense/model.qn")));
}

TEST_F(ActivationQuantize, WithoutDataInputsAreDynamicOrNotQuantized) {
  quantize(quantize_options());
  EXPECT_EQ(pack::read_model_file(path("out.qn")).activations.mode, pack::ActivationMode::kNone);
  quantize(quantize_options({{"scalar-act-bits", "8"}}));
  EXPECT_EQ(pack::read_model_file(path("out.qn")).activations.mode, pack::ActivationMode::kDynamic);
  EXPECT_NEAR(evaluate(path("out.qn")) / evaluate(path("dense/model.qn")), 1, 0.01);
}

TEST_F(ActivationQuantize, AQuantizedModelGetsOrLosesThemLater) {
  quantize(quantize_options());
  quantize({{"model", path("out.qn")}, {"output", path("with.qn")}, {"calibrate", data()}});
  EXPECT_EQ(pack::read_model_file(path("with.qn")).activations.layers.size(), 13U);
  EXPECT_EQ(weights(path("with.qn")), weights(path("out.qn")));
  quantize({{"model", path("with.qn")}, {"output", path("without.qn")}, {"scalar-act-bits", "none"}});
  EXPECT_EQ(base::read_text_file(path("without.qn")), base::read_text_file(path("out.qn")));
}

TEST_F(ActivationQuantize, FewerTokensAreEnough) {
  const RunResult run = quantize(quantize_options({{"calibrate", data()}, {"calibrate-tokens", "200"}}));
  EXPECT_LE(run.events("activations").at(0).at("tokens").get<int64_t>(), 400);
  const RunResult all = quantize(quantize_options({{"calibrate", data()}, {"calibrate-tokens", "0"}}));
  EXPECT_GT(all.events("activations").at(0).at("tokens").get<int64_t>(), 1000);
}

TEST_F(ActivationQuantize, WhatCannotBeCalibratedIsRefused) {
  EXPECT_THAT(quantize_error({{"calibrate", path("nowhere")}}), HasSubstr("nowhere"));
  EXPECT_THAT(quantize_error({{"calibrate", data()}, {"calibrate-subset", "test"}}), HasSubstr("test"));
  EXPECT_THAT(quantize_error({{"scalar-act-bits", "8"}, {"scalar-act-mode", "static"}}),
              HasSubstr("--calibrate"));
  EXPECT_THAT(quantize_error({{"calibrate", data()}, {"scalar-act-mode", "dynamic"}}), HasSubstr("dynamic"));
  EXPECT_THAT(quantize_error({{"calibrate", data()}, {"scalar-act-bits", "none"}}), HasSubstr("none"));
  EXPECT_THAT(error_of_quantize(without_scheme({{"calibrate", data()}})), HasSubstr("no input to quantize"));
  EXPECT_THAT(error_of_quantize(without_scheme({})), HasSubstr("nothing to do"));
}

TEST_F(ActivationQuantize, ALayerThatNoTokenReachesIsNamed) {
  train("adaptive",
        with(adaptive_options(), {{"adaptive-input-cutoff", "8,38"}, {"adaptive-softmax-cutoff", "8,38"}}));
  const std::string error = quantize_error(
      {{"model", path("adaptive/model.qn")}, {"calibrate", data()}, {"calibrate-tokens", "16"}});
  EXPECT_THAT(error, AllOf(HasSubstr("reached"), HasSubstr("decoder.adaptive_softmax.tail.1.2"),
                           HasSubstr("--calibrate-tokens")));
}

TEST_F(ActivationQuantize, ProductCodesWithInt8Activations) {
  const RunResult run = train("staged", {{"restore-file", path("dense/checkpoint_best.qn")},
                                         {"quantization-config-path", quantization_config()},
                                         {"scalar-act-bits", "8"},
                                         {"quant-noise-scalar-act", "0.5"},
                                         {"scalar-update-step", "5"},
                                         {"max-update", "12"},
                                         {"lr", "0.002"},
                                         {"save-interval-updates", "3"}});
  const auto stages = run.events("stage");
  ASSERT_EQ(stages.size(), 3U);
  for (const auto& stage : stages) {
    EXPECT_NEAR(evaluate(stage.at("path").get<std::string>()) / stage.at("valid_loss").get<double>(), 1,
                1e-5);
  }
  EXPECT_EQ(model_of("staged").activations.layers.size(), 13U);
  quantize({{"model", path("dense/model.qn")},
            {"output", path("direct.qn")},
            {"quantization-config-path", quantization_config()},
            {"calibrate", data()}});
  EXPECT_EQ(pack::read_model_file(path("direct.qn")).activations.layers.size(), 13U);
  EXPECT_TRUE(std::isfinite(evaluate(path("direct.qn"))));
}

}  // namespace
}  // namespace quantnoise::test
