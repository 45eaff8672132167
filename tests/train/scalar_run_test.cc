// Runs with scalar quantization: what is validated is what the file holds, and they can be stopped anywhere.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>

#include "quantnoise/base/error.h"
#include "quantnoise/data/dataset.h"
#include "quantnoise/pack/model_file.h"
#include "quantnoise/train/evaluate.h"
#include "quantnoise/train/model_io.h"
#include "run_fixture.h"

namespace quantnoise::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

class ScalarRun : public RunFixture {
 protected:
  double evaluate(const std::string& model) const {
    const train::LoadedModel loaded = train::load_model(path(model));
    const auto data = data::LanguageModelData::open(this->data());
    data::LanguageModelOptions options;
    options.tokens_per_sample = 16;
    const auto dataset = data.split("valid", options);
    return train::evaluate_nll(*loaded.model, *dataset, train::evaluation_batches(*dataset, 0, 3, 16)).loss();
  }
  /// fp32 originals in a checkpoint, by layer.
  std::map<std::string, std::string> originals(const std::string& checkpoint) const {
    std::map<std::string, std::string> found;
    for (const auto& [name, bytes] : weights(path(checkpoint))) {
      if (name.starts_with("training.slot.") && name.ends_with("/weight")) found[name] = bytes;
    }
    return found;
  }
  /// Of all weights of a file.
  std::map<std::string, std::string> schemes(const std::string& file) const {
    std::map<std::string, std::string> found;
    for (const auto& [name, weight] : pack::read_model_file(path(file)).weights) {
      found[name] = weight.scheme == codec::Scheme::kAffine    ? str_cat("int", weight.code_bits)
                    : weight.scheme == codec::Scheme::kProduct ? "pq"
                                                               : "dense";
      if (weight.scheme == codec::Scheme::kProduct && weight.centroid_type == codec::ScalarType::kI8)
        found[name] = "pq int8";
    }
    return found;
  }
  static Options scalar(const Options& changes = {}) {
    return with({{"quant-noise-scalar", "0.5"}, {"save-interval-updates", "3"}}, changes);
  }
};

TEST_F(ScalarRun, ValidationIsThatOfTheFile) {
  const RunResult run = train("int8", scalar({{"max-update", "40"}, {"save-interval-updates", "0"}}));
  EXPECT_EQ(run.exit_code, 0);
  const double loss = run.events("done").at(0).at("valid_loss");
  EXPECT_NEAR(evaluate("int8/model.qn"), loss, 1e-6 * loss);
  EXPECT_NEAR(evaluate("int8/checkpoint_best.qn"), loss, 1e-6 * loss);
  EXPECT_LT(loss, kUnigramBits - 0.5);
  for (const auto& [name, scheme] : schemes("int8/model.qn")) EXPECT_EQ(scheme, "int8") << name;
}

TEST_F(ScalarRun, FilesHaveTheirTrueSize) {
  for (const int bits : {2, 4, 5, 8}) {
    SCOPED_TRACE(bits);
    const std::string folder = str_cat("int", bits);
    train(folder, scalar({{"scalar-bits", std::to_string(bits)}, {"max-update", "2"}}));
    const pack::SizeReport size = pack::size_report(path(folder + "/model.qn"));
    int64_t expected = 0;
    for (const auto& [name, weight] : pack::read_model_file(path(folder + "/model.qn")).weights)
      expected += (weight.numel() * bits + 7) / 8 + 5;
    EXPECT_EQ(static_cast<int64_t>(size.affine_bytes), expected);
  }
}

TEST_F(ScalarRun, ListsWhatIsNoisedAndTheFileRecordsIt) {
  const RunResult run = train(
      "run",
      scalar({{"quant-noise-pq", "0.1"}, {"decoder-learned-pos", "true"}, {"scalar-exclude", R"(.*\.fc2)"}}));
  EXPECT_THAT(run.text(),
              AllOf(HasSubstr("int8 noise on 12 weights: decoder.embed_tokens, decoder.embed_positions, "),
                    HasSubstr("no int8 noise on: decoder.layers.0.fc2, decoder.layers.1.fc2"),
                    HasSubstr("no noise on: decoder.embed_positions"),
                    HasSubstr("decoder.embed_tokens = decoder.output_projection")));
  const auto history = nlohmann::json::parse(pack::read_model_file(path("run/model.qn")).history_json);
  const auto& scalar = history.at("noise").at("scalar");
  EXPECT_EQ(scalar.at("bits"), 8);
  EXPECT_EQ(scalar.at("method"), "histogram");
  EXPECT_EQ(scalar.at("probability"), 0.5);
  EXPECT_EQ(scalar.at("noised").size(), 12U);
  EXPECT_EQ(scalar.at("untouched").size(), 2U);
  EXPECT_EQ(schemes("run/model.qn").at("decoder.layers.0.fc2.weight"), "dense");
  EXPECT_EQ(schemes("run/model.qn").at("decoder.embed_positions.weight"), "int8");
}

TEST_F(ScalarRun, ProbabilityZeroIsNoNoise) {
  train("plain");
  train("zero", {{"quant-noise-scalar", "0"}});
  EXPECT_EQ(weights(path("plain/checkpoint_last.qn")), weights(path("zero/checkpoint_last.qn")));
  // Bits alone: the same training, quantized validation and file.
  train("bits", {{"scalar-bits", "4"}});
  const auto plain = weights(path("plain/checkpoint_last.qn"));
  const auto kept = originals("bits/checkpoint_last.qn");
  EXPECT_EQ(kept.size(), schemes("bits/model.qn").size());
  for (const auto& [name, bytes] : kept) {
    const std::string layer = name.substr(14, name.size() - 14 - 7);
    EXPECT_TRUE(bytes == plain.at(layer + ".weight")) << layer;
  }
  EXPECT_EQ(schemes("bits/model.qn").at("decoder.embed_tokens.weight"), "int4");
}

TEST_F(ScalarRun, NoiseStartsWhenItsTimeHasCome) {
  train("plain", {{"max-update", "4"}});
  train("warm", scalar({{"quant-noise-start-update", "4"}, {"max-update", "4"}}));
  const auto plain = weights(path("plain/checkpoint_last.qn"));
  EXPECT_TRUE(originals("warm/checkpoint_last.qn").at("training.slot.decoder.layers.0.fc1/weight") ==
              plain.at("decoder.layers.0.fc1.weight"));
  train("later", scalar({{"quant-noise-start-update", "4"}, {"max-update", "5"}}));
  train("plain5", {{"max-update", "5"}});
  EXPECT_FALSE(originals("later/checkpoint_last.qn").at("training.slot.decoder.layers.0.fc1/weight") ==
               weights(path("plain5/checkpoint_last.qn")).at("decoder.layers.0.fc1.weight"));
}

// What breaks the reference: learned positions (a subclass it does not know), post-norm, tied output.
TEST_F(ScalarRun, PostNormWithLearnedPositionsAndTiedOutputLearns) {
  const RunResult run = train("roberta", scalar({{"max-update", "40"},
                                                 {"decoder-normalize-before", "false"},
                                                 {"decoder-learned-pos", "true"},
                                                 {"activation-fn", "gelu"}}));
  const double loss = run.events("done").at(0).at("valid_loss");
  EXPECT_LT(loss, kUnigramBits - 0.3);
  EXPECT_NEAR(evaluate("roberta/model.qn"), loss, 1e-6 * loss);
}

TEST_F(ScalarRun, AdaptiveBandsAreQuantizedToo) {
  const RunResult run = train("adaptive", scalar(adaptive_options()));
  const double loss = run.events("done").at(0).at("valid_loss");
  EXPECT_NEAR(evaluate("adaptive/model.qn"), loss, 1e-6 * loss);
  for (const auto& [name, scheme] : schemes("adaptive/model.qn")) EXPECT_EQ(scheme, "int8") << name;
}

struct ScalarCase {
  const char* name;
  Options options;
};

class ScalarResume : public ScalarRun, public testing::WithParamInterface<ScalarCase> {};

TEST_P(ScalarResume, GoesOnBitForBit) {
  const Options options = with(scalar({{"max-update", "14"}, {"update-freq", "2"}}), GetParam().options);
  train("whole", options);
  for (const int updates : {2, 5, 9, 13}) {
    SCOPED_TRACE(updates);
    const std::string folder = "killed" + std::to_string(updates);
    train_until_killed(folder, options, updates);
    train(folder, options);
    EXPECT_TRUE(model_bytes(folder) == model_bytes("whole"));
  }
  const double loss = evaluate("whole/model.qn");
  EXPECT_TRUE(std::isfinite(loss));
}

INSTANTIATE_TEST_SUITE_P(
    All, ScalarResume,
    testing::Values(ScalarCase{"Int8", {}}, ScalarCase{"OftenNewGrids", {{"scalar-update-step", "4"}}},
                    ScalarCase{"Int4ByChannel", {{"scalar-bits", "4"}, {"scalar-method", "channel"}}},
                    ScalarCase{"Clipped", {{"scalar-ste", "clipped"}, {"scalar-method", "channel-l2"}}},
                    ScalarCase{"Qat", {{"quant-noise-scalar", "1"}, {"scalar-bits", "3"}}},
                    ScalarCase{"NoNoise", {{"quant-noise-scalar", "0"}, {"scalar-bits", "4"}}},
                    ScalarCase{"WithPq", {{"quant-noise-pq", "0.2"}}},
                    ScalarCase{"WithExactPq",
                               {{"quant-noise-pq", "0.2"},
                                {"quant-noise-kind", "pq-exact"},
                                {"quant-noise-centroids", "8"},
                                {"quant-noise-refresh", "5"}}},
                    ScalarCase{"WithMean", {{"quant-noise-pq", "0.2"}, {"quant-noise-kind", "mean"}}},
                    ScalarCase{"WarmUp", {{"quant-noise-start-update", "6"}}},
                    ScalarCase{
                        "LayerDropAndSharing",
                        {{"decoder-layerdrop", "0.3"}, {"decoder-layers", "4"}, {"share-layers", "2"}}},
                    ScalarCase{"Bf16", {{"bf16", "true"}}}),
    [](const testing::TestParamInfo<ScalarCase>& info) { return info.param.name; });

TEST_F(ScalarRun, NewRunsStartFromOriginalsOfACheckpoint) {
  train("first", scalar({{"scalar-bits", "2"}}));
  const Options still = {{"lr", "0"},
                         {"max-update", "1"},
                         {"restore-file", path("first/checkpoint_last.qn")},
                         {"reset-optimizer", "true"}};
  // Without scalar options the weights stay int2.
  train("second", still);
  EXPECT_EQ(originals("second/checkpoint_last.qn"), originals("first/checkpoint_last.qn"));
  EXPECT_EQ(schemes("second/model.qn"), schemes("first/model.qn"));
  train("third", with(still, {{"scalar-bits", "8"}}));
  EXPECT_EQ(originals("third/checkpoint_last.qn"), originals("first/checkpoint_last.qn"));
  EXPECT_EQ(schemes("third/model.qn").at("decoder.embed_tokens.weight"), "int8");
  EXPECT_LT(evaluate("third/model.qn"), evaluate("first/model.qn"));
}

TEST_F(ScalarRun, AFileIsFinetunedFurther) {
  train("first", scalar({{"max-update", "30"}}));
  const Options further = {{"restore-file", path("first/model.qn")}, {"lr", "0.002"}, {"max-update", "20"}};
  const RunResult plain = train("plain", further);
  EXPECT_EQ(schemes("plain/model.qn"), schemes("first/model.qn"));
  const RunResult noised = train("noised", with(further, scalar({{"scalar-bits", "4"}})));
  for (const auto& [name, scheme] : schemes("noised/model.qn")) EXPECT_EQ(scheme, "int4") << name;
  for (const char* folder : {"plain", "noised"}) {
    const double loss = evaluate(str_cat(folder, "/model.qn"));
    EXPECT_LT(loss, evaluate("first/model.qn") + 0.2) << folder;
  }
  const auto history = nlohmann::json::parse(pack::read_model_file(path("plain/model.qn")).history_json);
  EXPECT_EQ(history.at("earlier_noise").at(0).at("scalar").at("probability"), 0.5);
}

TEST_F(ScalarRun, LayersAreTakenOutOfAnIntNModel) {
  train("first", scalar({{"decoder-layers", "4"}}));
  const RunResult run = train("pruned", scalar({{"restore-file", path("first/checkpoint_last.qn")},
                                                {"decoder-layers", "4"},
                                                {"decoder-layers-to-keep", "0,2"}}));
  EXPECT_EQ(schemes("pruned/model.qn").size(), 1U + 2 * 6);
  EXPECT_NEAR(evaluate("pruned/model.qn"), run.events("done").at(0).at("valid_loss").get<double>(), 1e-5);
}

class StagesWithInt8 : public ScalarRun {
 protected:
  void SetUp() override { train("dense", scalar({{"max-update", "40"}, {"quant-noise-pq", "0.1"}})); }

  Options staged(const Options& changes = {}) const {
    return with({{"restore-file", path("dense/checkpoint_best.qn")},
                 {"quantization-config-path", quantization_config()},
                 {"max-update", "12"},
                 {"lr", "0.002"},
                 {"quant-noise-pq", "0.1"},
                 {"quant-noise-scalar", "0.5"},
                 {"pq-centroid-type", "int8"},
                 {"save-interval-updates", "3"}},
                changes);
  }
};

TEST_F(StagesWithInt8, FileHoldsWhatWasReported) {
  const RunResult run = train("staged", staged({{"decoder-layerdrop", "0.2"}}));
  for (const auto& stage : run.events("stage")) {
    const double loss = stage.at("valid_loss");
    const std::string file = stage.at("path");
    EXPECT_NEAR(evaluate(file.substr(path("").size())), loss, 1e-6 * loss);
  }
  const auto first = schemes("staged/model_stage1.qn");
  EXPECT_EQ(first.at("decoder.layers.0.fc1.weight"), "pq int8");
  EXPECT_EQ(first.at("decoder.embed_tokens.weight"), "int8");
  for (const auto& [name, scheme] : schemes("staged/model.qn")) EXPECT_EQ(scheme, "pq int8") << name;
  const pack::ModelFile file = pack::read_model_file(path("staged/model.qn"));
  EXPECT_EQ(file.ties.at("decoder.output_projection.weight"), "decoder.embed_tokens.weight");
  EXPECT_THAT(run.text(), HasSubstr("decoder.embed_tokens = decoder.output_projection"));
  train("half", staged({{"pq-centroid-type", "fp16"}}));
  EXPECT_LT(model_bytes("staged").size(), model_bytes("half").size());
}

TEST_F(StagesWithInt8, KilledInAndBetweenStages) {
  train("whole", staged());
  for (const int updates : {1, 3, 4, 5, 8, 11}) {
    SCOPED_TRACE(updates);
    const std::string folder = "killed" + std::to_string(updates);
    train_until_killed(folder, staged(), updates);
    Options rest = staged();
    if (std::filesystem::exists(path(folder + "/checkpoint_last.qn")))
      rest["restore-file"] = path(folder + "/checkpoint_last.qn");
    train(folder, rest);
    EXPECT_TRUE(model_bytes(folder) == model_bytes("whole"));
  }
}

class QuantizeWithoutTraining : public ScalarRun {
 protected:
  void SetUp() override { train("dense", {{"max-update", "60"}}); }
  RunResult run(const std::string& output, const Options& changes) const {
    return quantize(with({{"model", path("dense/model.qn")}, {"output", path(output)}}, changes));
  }
};

TEST_F(QuantizeWithoutTraining, EveryBitBringsTheLossDown) {
  const double dense = evaluate("dense/model.qn");
  double former_error = 1;
  for (const int bits : {2, 4, 8}) {
    SCOPED_TRACE(bits);
    const std::string output = str_cat("int", bits, ".qn");
    const RunResult result = run(output, {{"scheme", str_cat("int", bits)}});
    const auto scalar = result.events("scalar").at(0);
    EXPECT_EQ(scalar.at("layers"), 13);
    EXPECT_LT(scalar.at("relative_error").get<double>(), former_error / 4);
    former_error = scalar.at("relative_error");
    EXPECT_EQ(result.events("plan").size(), 1U);
    const auto done = result.events("done").at(0);
    EXPECT_EQ(done.at("bytes"), std::filesystem::file_size(path(output)));
    for (const auto& [name, scheme] : schemes(output)) EXPECT_EQ(scheme, str_cat("int", bits)) << name;
  }
  EXPECT_NEAR(evaluate("int8.qn"), dense, 0.01 * dense);
  run("channel.qn", {{"scheme", "int4"}, {"method", "channel-l2"}});
  const auto history = nlohmann::json::parse(pack::read_model_file(path("channel.qn")).history_json);
  EXPECT_EQ(history.at("scalar").at("method"), "channel-l2");
  EXPECT_EQ(pack::read_model_file(path("channel.qn")).weights.at("decoder.layers.0.fc1.weight").affine_axis,
            0);
}

TEST_F(QuantizeWithoutTraining, StagesThenWhatIsLeft) {
  train("learned", {{"max-update", "4"}, {"decoder-learned-pos", "true"}});
  quantize({{"model", path("learned/model.qn")},
            {"output", path("rest.qn")},
            {"quantization-config-path", quantization_config()},
            {"scheme", "int4"}});
  EXPECT_EQ(schemes("rest.qn").at("decoder.embed_positions.weight"), "int4");
  EXPECT_EQ(schemes("rest.qn").at("decoder.layers.1.fc1.weight"), "pq");
  const RunResult none = run("all.qn", {{"quantization-config-path", quantization_config()},
                                        {"scheme", "int8"},
                                        {"pq-centroid-type", "int8"}});
  EXPECT_THAT(none.text(), HasSubstr("nothing is left for int8"));
  EXPECT_EQ(schemes("all.qn").at("decoder.embed_tokens.weight"), "pq int8");
  EXPECT_THROW(quantize({{"model", path("all.qn")}, {"output", path("x.qn")}, {"scheme", "int8"}}), Error);
}

TEST_F(QuantizeWithoutTraining, CentroidsOfAFinishedModelBecomeInt8) {
  run("pq.qn", {{"quantization-config-path", quantization_config()}});
  quantize({{"model", path("pq.qn")}, {"output", path("pq8.qn")}, {"pq-centroid-type", "int8"}});
  for (const auto& [name, scheme] : schemes("pq8.qn")) EXPECT_EQ(scheme, "pq int8") << name;
  EXPECT_NEAR(evaluate("pq8.qn"), evaluate("pq.qn"), 0.02);
  EXPECT_LT(std::filesystem::file_size(path("pq8.qn")), std::filesystem::file_size(path("pq.qn")));
  // Written again it is the same.
  quantize({{"model", path("pq8.qn")}, {"output", path("again.qn")}, {"pq-centroid-type", "int8"}});
  EXPECT_EQ(weights(path("again.qn")), weights(path("pq8.qn")));
}

TEST_F(QuantizeWithoutTraining, OriginalsOfACheckpointGetTheMethodAskedFor) {
  train("int4", {{"max-update", "4"}, {"scalar-bits", "4"}, {"scalar-method", "tensor"}});
  const auto to = [&](const std::string& from, const std::string& method) {
    const std::string output = path(str_cat(method, ".qn"));
    const RunResult result =
        quantize({{"model", path(from)}, {"output", output}, {"scheme", "int4"}, {"scalar-method", method}});
    return std::pair(weights(output), result.text());
  };
  const auto [by_tensor, tensor_text] = to("int4/checkpoint_last.qn", "tensor");
  const auto [by_histogram, text] = to("int4/checkpoint_last.qn", "histogram");
  EXPECT_NE(by_histogram, by_tensor);
  EXPECT_THAT(text, Not(HasSubstr("keep their grids")));
  // A file without originals says that its grids stay.
  const auto [kept, kept_text] = to("int4/model.qn", "histogram");
  EXPECT_EQ(kept, weights(path("int4/model.qn")));
  EXPECT_THAT(kept_text, HasSubstr("weights are int4 already and keep their grids"));
}

TEST_F(QuantizeWithoutTraining, OptionsThatWouldChangeNothingAreRefused) {
  const auto refuses = [&](const Options& changes, ErrorKind kind, const std::string& text) {
    try {
      run("x.qn", changes);
      ADD_FAILURE() << "expected: " << text;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), kind) << text;
      EXPECT_THAT(error.what(), HasSubstr(text));
    }
  };
  refuses({{"scheme", "int8"}, {"scalar-act-mode", "dynamic"}}, ErrorKind::kUsage,
          "--scalar-act-mode changes nothing without --scalar-act-bits or --calibrate");
  refuses({{"scheme", "int8"}, {"calibrate-tokens", "5"}}, ErrorKind::kUsage,
          "--calibrate-tokens changes nothing without --calibrate");
  refuses({{"scalar-act-bits", "8"}, {"scalar-exclude", ".*fc1"}}, ErrorKind::kUsage,
          "--scalar-exclude changes nothing without --scheme");
  refuses({{"scheme", "int8"}, {"pq-iterations", "5"}}, ErrorKind::kUsage,
          "--pq-iterations changes nothing without --config");
  refuses({{"pq-centroid-type", "int8"}}, ErrorKind::kConfig, "no weight in");
  refuses({{"scheme", "int8"}, {"scalar-exclude", "decoder.embed_token"}}, ErrorKind::kConfig,
          "--scalar-exclude 'decoder.embed_token' matches no layer");
  refuses({{"scheme", "int8"}, {"scalar-act-bits", "8"}, {"scalar-act-exclude", "fc"}}, ErrorKind::kConfig,
          "--scalar-act-exclude 'fc' matches no layer");
  refuses({{"scheme", "int8"}, {"calibrate", path("nowhere")}}, ErrorKind::kIo, "there is no such folder");
  refuses({{"scheme", "int8"}, {"output", path("nowhere/x.qn")}}, ErrorKind::kIo, "there is no folder");
}

TEST_F(QuantizeWithoutTraining, BadInputIsRefused) {
  EXPECT_THROW(run("x.qn", {}), Error);
  EXPECT_THROW(run("x.qn", {{"scheme", "int9"}}), Error);
  EXPECT_THROW(run("x.qn", {{"scheme", "int8"}, {"scalar-method", "mse"}}), Error);
  EXPECT_THROW(run("x.qn", {{"scheme", "int8"}, {"scalar-include", "nothing"}}), Error);
  EXPECT_THROW(run("x.qn", {{"scheme", "int8"}, {"scalar-exclude", "("}}), Error);
  EXPECT_FALSE(std::filesystem::exists(path("x.qn")));
}

}  // namespace
}  // namespace quantnoise::test
