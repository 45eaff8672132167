#include "quantnoise/models/transformer_lm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "quantnoise/base/error.h"
#include "quantnoise/quant/slot.h"

namespace quantnoise::models {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

TransformerLmOptions small_options() {
  TransformerLmOptions options;
  options.vocab_size = 40;
  options.decoder_embed_dim = 32;
  options.decoder_ffn_embed_dim = 48;
  options.decoder_layers = 3;
  options.decoder_attention_heads = 4;
  options.decoder_normalize_before = true;
  options.share_decoder_input_output_embed = true;
  options.max_target_positions = 64;
  options.dropout = 0;
  return options;
}

at::Tensor tokens_of(int64_t batch, int64_t length) { return at::randint(2, 40, {batch, length}, at::kLong); }

class TransformerLmTest : public ::testing::Test {
 protected:
  void SetUp() override {
    torch::manual_seed(1);
    quant::set_noise_clock({});
  }
};

/// Loss of one batch with its gradients in the parameters.
double backward(LanguageModel& model, const at::Tensor& tokens) {
  for (const quant::NamedParameter& parameter : quant::unique_parameters(model)) {
    at::Tensor tensor = parameter.tensor;
    tensor.mutable_grad() = at::Tensor();
  }
  const at::Tensor loss = model.nll_sum(model.features(tokens), tokens.roll(-1, 1));
  loss.backward();
  return loss.item<double>();
}

TEST_F(TransformerLmTest, CountsParametersAndTiesOnce) {
  const auto model = make_transformer_lm(small_options());
  const int64_t layer = 4 * (32 * 32 + 32) + 32 * 48 + 48 + 48 * 32 + 32 + 4 * 32;
  EXPECT_EQ(quant::count_parameters(*model), 40 * 32 + 3 * layer + 2 * 32);
  TransformerLmOptions untied = small_options();
  untied.share_decoder_input_output_embed = false;
  untied.decoder_learned_pos = true;
  EXPECT_EQ(quant::count_parameters(*make_transformer_lm(untied)),
            2 * 40 * 32 + (64 + 2) * 32 + 3 * layer + 2 * 32);
}

TEST_F(TransformerLmTest, NamesAreFairseqs) {
  TransformerLmOptions options = small_options();
  options.decoder_layers = 1;
  options.decoder_learned_pos = true;
  options.decoder_input_dim = options.decoder_output_dim = 16;
  std::vector<std::string> names;
  for (const auto& parameter : quant::unique_parameters(*make_transformer_lm(options)))
    names.push_back(parameter.name);
  std::vector<std::string> expected = {"decoder.embed_tokens.weight",    "decoder.project_in_dim.weight",
                                       "decoder.embed_positions.weight", "decoder.layer_norm.weight",
                                       "decoder.layer_norm.bias",        "decoder.project_out_dim.weight"};
  for (const char* name : {"self_attn.k_proj", "self_attn.v_proj", "self_attn.q_proj", "self_attn.out_proj",
                           "self_attn_layer_norm", "fc1", "fc2", "final_layer_norm"}) {
    expected.push_back(std::string("decoder.layers.0.") + name + ".weight");
    expected.push_back(std::string("decoder.layers.0.") + name + ".bias");
  }
  EXPECT_THAT(names, ::testing::UnorderedElementsAreArray(expected));
}

TEST_F(TransformerLmTest, InitialWeightsDependOnTheSeedAlone) {
  torch::manual_seed(9);
  const auto one = make_transformer_lm(small_options());
  torch::manual_seed(9);
  const auto two = make_transformer_lm(small_options());
  const auto a = quant::unique_parameters(*one), b = quant::unique_parameters(*two);
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(at::equal(a[i].tensor, b[i].tensor)) << a[i].name;
  EXPECT_NEAR(a[0].tensor.std().item<double>(), 1 / std::sqrt(32.0), 0.02);
  EXPECT_EQ(a[0].tensor[1].abs().max().item<double>(), 0);
}

TEST_F(TransformerLmTest, NoiseCoversAttentionFeedForwardAndEmbeddings) {
  TransformerLmOptions options = small_options();
  options.decoder_layers = 1;
  const auto model = make_transformer_lm(options);
  EXPECT_THAT(quant::quant_noise(*model, 0.1, 8),
              UnorderedElementsAre("decoder.embed_tokens", "decoder.layers.0.self_attn.k_proj",
                                   "decoder.layers.0.self_attn.v_proj", "decoder.layers.0.self_attn.q_proj",
                                   "decoder.layers.0.self_attn.out_proj", "decoder.layers.0.fc1",
                                   "decoder.layers.0.fc2"));
  options.share_decoder_input_output_embed = false;
  options.decoder_learned_pos = true;
  const auto noised = quant::quant_noise(*make_transformer_lm(options), 0.1, 8);
  EXPECT_THAT(noised, Contains("decoder.output_projection"));
  EXPECT_THAT(noised, Contains("decoder.embed_positions"));
}

TEST_F(TransformerLmTest, NoisyPassesLeaveTheWeightsAlone) {
  const auto model = make_transformer_lm(small_options());
  quant::quant_noise(*model, 0.3, 8);
  std::vector<at::Tensor> before;
  for (const auto& parameter : quant::unique_parameters(*model)) before.push_back(parameter.tensor.clone());
  for (uint64_t update = 0; update < 100; ++update) {
    quant::set_noise_clock({1, update, 0});
    const at::NoGradGuard no_grad;
    model->features(tokens_of(1, 6));
  }
  const auto after = quant::unique_parameters(*model);
  for (size_t i = 0; i < after.size(); ++i)
    EXPECT_TRUE(at::equal(after[i].tensor, before[i])) << after[i].name;
}

TEST_F(TransformerLmTest, DropoutDependsOnTheClockAlone) {
  TransformerLmOptions options = small_options();
  options.dropout = options.attention_dropout = options.activation_dropout = 0.2;
  const auto model = make_transformer_lm(options);
  const at::Tensor tokens = tokens_of(2, 10);
  const at::Tensor first = model->features(tokens);
  EXPECT_TRUE(at::equal(model->features(tokens), first));
  quant::set_noise_clock({1, 1, 0});
  EXPECT_FALSE(at::equal(model->features(tokens), first));
  model->eval();
  const at::Tensor quiet = model->features(tokens);
  quant::set_noise_clock({1, 2, 0});
  EXPECT_TRUE(at::equal(model->features(tokens), quiet));
}

TEST_F(TransformerLmTest, MasksDifferBetweenLayersAndHeads) {
  // Two layers with the same weights, each alone: only the streams differ.
  TransformerLmOptions options = small_options();
  options.decoder_layers = 2;
  options.decoder_layerdrop = 0.5;
  options.attention_dropout = 0.3;
  const auto model = make_transformer_lm(options);
  const at::NoGradGuard no_grad;
  std::map<std::string, at::Tensor> weights;
  for (const auto& parameter : quant::unique_parameters(*model)) weights[parameter.name] = parameter.tensor;
  for (auto& [name, tensor] : weights) {
    const size_t at = name.find("layers.1.");
    if (at != std::string::npos) tensor.copy_(weights.at(std::string(name).replace(at, 9, "layers.0.")));
  }
  const at::Tensor tokens = tokens_of(1, 12);
  std::vector<at::Tensor> distinct;
  // All draws of other streams hold still while the seed of the clock picks which layers stay.
  for (uint64_t seed = 0; seed < 40 && distinct.size() < 3; ++seed) {
    quant::set_noise_clock({seed, 0, 0});
    const at::Tensor found = model->features(tokens);
    const auto same = [&](const at::Tensor& other) { return at::equal(other, found); };
    if (std::none_of(distinct.begin(), distinct.end(), same)) distinct.push_back(found);
  }
  EXPECT_EQ(distinct.size(), 3u);
}

TEST_F(TransformerLmTest, DroppedLayersGetNoGradient) {
  TransformerLmOptions options = small_options();
  options.decoder_layerdrop = 0.5;
  const auto model = make_transformer_lm(options);
  int dropped = 0, kept = 0;
  for (uint64_t update = 0; update < 10; ++update) {
    quant::set_noise_clock({1, update, 0});
    backward(*model, tokens_of(2, 8));
    for (const auto& parameter : quant::unique_parameters(*model)) {
      if (!parameter.name.ends_with("fc1.weight")) continue;
      const at::Tensor grad = parameter.tensor.grad();
      (grad.defined() && grad.abs().max().item<double>() > 0 ? kept : dropped) += 1;
    }
  }
  EXPECT_GT(dropped, 5);
  EXPECT_GT(kept, 5);
}

TEST_F(TransformerLmTest, CachedFeaturesEqualTheWholeSequence) {
  for (const bool learned : {false, true}) {
    TransformerLmOptions options = small_options();
    options.decoder_learned_pos = learned;
    const auto model = make_transformer_lm(options);
    model->eval();
    const at::NoGradGuard no_grad;
    const at::Tensor tokens = tokens_of(2, 10);
    const at::Tensor whole = model->features(tokens);
    DecoderCache cache;
    std::vector<at::Tensor> parts;
    for (const auto& [first, count] : {std::pair<int64_t, int64_t>{0, 5}, {5, 1}, {6, 3}, {9, 1}}) {
      parts.push_back(model->features(tokens.narrow(1, first, count), &cache));
    }
    EXPECT_LT((at::cat(parts, 1) - whole).abs().max().item<double>(), 1e-5);
    EXPECT_EQ(cache.size(), 3u);
  }
}

TEST_F(TransformerLmTest, LossesAgreeWithLogitsAndPaddingIsIgnored) {
  const auto model = make_transformer_lm(small_options());
  model->eval();
  const at::NoGradGuard no_grad;
  at::Tensor targets = tokens_of(2, 9);
  targets[1][8] = 1;
  const at::Tensor features = model->features(tokens_of(2, 9));
  const at::Tensor log_probs = at::log_softmax(model->output(features), -1);
  const at::Tensor expected =
      log_probs.gather(2, targets.unsqueeze(2)).squeeze(2).masked_fill(targets.eq(1), 0.0);
  EXPECT_LT((model->target_log_probs(features, targets) - expected).abs().max().item<double>(), 1e-5);
  EXPECT_NEAR(model->nll_sum(features, targets).item<double>(), -expected.sum().item<double>(), 1e-3);
}

TEST_F(TransformerLmTest, LearnsInFp32AndBf16) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const quant::ComputeTypeGuard guard(type);
    TransformerLmOptions options = small_options();
    options.dropout = options.attention_dropout = options.activation_dropout = 0.05;
    const auto model = make_transformer_lm(options);
    quant::quant_noise(*model, 0.05, 8);
    const at::Tensor tokens = tokens_of(4, 12);
    double first = 0, last = 0;
    for (uint64_t update = 0; update < 60; ++update) {
      quant::set_noise_clock({1, update, 0});
      last = backward(*model, tokens) / 48;
      if (update == 0) first = last;
      const at::NoGradGuard no_grad;
      for (const auto& parameter : quant::unique_parameters(*model)) {
        at::Tensor tensor = parameter.tensor;
        ASSERT_EQ(tensor.grad().scalar_type(), at::kFloat) << parameter.name;
        tensor.add_(tensor.grad(), -0.01);
      }
    }
    EXPECT_LT(last, 0.6 * first) << at::toString(type);
    for (const auto& parameter : quant::unique_parameters(*model)) {
      if (parameter.name == "decoder.embed_tokens.weight") {
        EXPECT_EQ(parameter.tensor[1].abs().max().item<double>(), 0);
      }
    }
  }
}

TEST_F(TransformerLmTest, RefusesDimensionsThatDoNotFit) {
  TransformerLmOptions options = small_options();
  options.decoder_attention_heads = 5;
  EXPECT_THROW(make_transformer_lm(options), Error);
  options = small_options();
  options.decoder_output_dim = 16;
  EXPECT_THROW(make_transformer_lm(options), Error);
  options = small_options();
  options.decoder_learned_pos = true;
  EXPECT_THROW(make_transformer_lm(options)->features(tokens_of(1, 65)), Error);
}

/// The weights of tests/golden/models/decoder.py; row 1 of these tables is padding.
void set_pattern(LanguageModel& model, const std::vector<std::string>& padding_rows) {
  const at::NoGradGuard no_grad;
  std::map<std::string, at::Tensor> sorted;
  for (const auto& parameter : quant::unique_parameters(model)) sorted[parameter.name] = parameter.tensor;
  double j = 0;
  for (auto& [name, tensor] : sorted) {
    float* value = tensor.mutable_data_ptr<float>();
    for (int64_t i = 0; i < tensor.numel(); ++i) {
      value[i] = 0.3f * static_cast<float>(std::sin(0.7 * static_cast<double>(i) + 1.3 * j));
      if (name.find("layer_norm.weight") != std::string::npos) value[i] = 1 + 0.5f * value[i];
    }
    j += 1;
  }
  for (const std::string& name : padding_rows) sorted.at(name)[1].zero_();
}

class GoldenDecoderTest : public ::testing::TestWithParam<const char*> {};

TEST_P(GoldenDecoderTest, OutputsLossAndGradients) {
  std::ifstream file(std::string(QN_SOURCE_DIR) + "/tests/golden/models/" + GetParam() + ".json");
  const nlohmann::json golden = nlohmann::json::parse(file);
  const auto model = make_transformer_lm(transformer_lm_options_from_json(golden["options"].dump()));
  set_pattern(*model, golden["padding_rows"].get<std::vector<std::string>>());
  const auto tensor_of = [](const nlohmann::json& rows) {
    std::vector<at::Tensor> list;
    for (const auto& row : rows) list.push_back(torch::tensor(row.get<std::vector<int64_t>>()));
    return at::stack(list);
  };
  const auto near = [](const at::Tensor& found, const nlohmann::json& expected, double tolerance) {
    const at::Tensor wanted = torch::tensor(expected.get<std::vector<double>>());
    const double scale = std::max(1.0, wanted.abs().max().item<double>());
    return (found.flatten().to(at::kDouble) - wanted.to(at::kDouble)).abs().max().item<double>() <
           tolerance * scale;
  };
  const at::Tensor features = model->features(tensor_of(golden["tokens"]));
  const at::Tensor targets = tensor_of(golden["targets"]);
  EXPECT_TRUE(near(features, golden["features"], 1e-5));
  EXPECT_TRUE(near(model->output(features)[0][0], golden["logits_first_row"], 1e-5));
  EXPECT_TRUE(near(model->target_log_probs(features, targets), golden["log_probs"], 1e-5));
  const at::Tensor loss = model->nll_sum(features, targets);
  EXPECT_NEAR(loss.item<double>(), golden["loss"].get<double>(), 1e-5 * golden["loss"].get<double>());
  loss.backward();
  const auto parameters = quant::unique_parameters(*model);
  EXPECT_EQ(parameters.size(), golden["gradients"].size());
  for (const auto& parameter : parameters) {
    const nlohmann::json& expected = golden["gradients"][parameter.name];
    const at::Tensor gradient = parameter.tensor.grad().flatten();
    const double norm = expected["norm"].get<double>();
    EXPECT_NEAR(gradient.norm().item<double>(), norm, 2e-5 * norm + 2e-5) << parameter.name;
    EXPECT_TRUE(near(gradient.narrow(0, 0, 6), expected["first"], 5e-5)) << parameter.name;
    EXPECT_NEAR(gradient.sum().item<double>(), expected["sum"].get<double>(), 1e-4 * (1 + norm))
        << parameter.name;
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, GoldenDecoderTest,
                         ::testing::Values("prenorm_sinusoidal_tied", "postnorm_learned_untied",
                                           "adaptive_lm_untied", "adaptive_lm_tied",
                                           "adaptive_lm_tied_proj"));

}  // namespace
}  // namespace quantnoise::models
