// Adaptive input and softmax inside a model.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "quantnoise/base/error.h"
#include "quantnoise/models/registry.h"
#include "quantnoise/models/transformer_lm.h"
#include "quantnoise/quant/pq.h"
#include "quantnoise/quant/slot.h"

namespace quantnoise::models {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kVocabulary = 60;

TransformerLmOptions adaptive_options() {
  TransformerLmOptions options;
  options.vocab_size = kVocabulary;
  options.decoder_embed_dim = 32;
  options.decoder_ffn_embed_dim = 48;
  options.decoder_layers = 2;
  options.decoder_attention_heads = 4;
  options.decoder_normalize_before = true;
  options.no_decoder_final_norm = true;
  options.dropout = 0;
  options.adaptive_input = true;
  options.adaptive_input_cutoff = options.adaptive_softmax_cutoff = {20, 40};
  options.adaptive_input_factor = options.adaptive_softmax_factor = 2;
  options.tie_adaptive_weights = options.tie_adaptive_proj = true;
  return options;
}

at::Tensor some_tokens() {
  at::Tensor tokens = at::arange(2, 58, at::kLong).view({4, 14});
  tokens[3].narrow(0, 10, 4).fill_(1);
  return tokens;
}

std::vector<std::string> slot_names(torch::nn::Module& model) {
  std::vector<std::string> names;
  for (const quant::NamedSlot& slot : quant::named_slots(model)) {
    std::string name = slot.name;
    for (const std::string& alias : slot.aliases) name += " = " + alias;
    names.push_back(name);
  }
  return names;
}

class AdaptiveTest : public ::testing::Test {
 protected:
  void SetUp() override {
    torch::manual_seed(3);
    quant::set_noise_clock({});
  }
};

TEST_F(AdaptiveTest, NamesAndTiesAreFairseqs) {
  const auto model = make_transformer_lm(adaptive_options());
  const auto names = slot_names(*model);
  for (const char* name : {"decoder.embed_tokens.embeddings.0.0 = decoder.adaptive_softmax.head.word_proj",
                           "decoder.embed_tokens.embeddings.0.1",
                           "decoder.embed_tokens.embeddings.1.0 = decoder.adaptive_softmax.tail.0.2",
                           "decoder.embed_tokens.embeddings.2.1 = decoder.adaptive_softmax.tail.1.0",
                           "decoder.adaptive_softmax.head.class_proj"}) {
    EXPECT_THAT(names, ::testing::Contains(name));
  }
  TransformerLmOptions untied = adaptive_options();
  untied.tie_adaptive_weights = untied.tie_adaptive_proj = false;
  const auto apart = slot_names(*make_transformer_lm(untied));
  for (const char* name : {"decoder.adaptive_softmax.head", "decoder.adaptive_softmax.tail.0.0",
                           "decoder.adaptive_softmax.tail.1.2"}) {
    EXPECT_THAT(apart, ::testing::Contains(name));
  }
}

class AdaptiveTies : public AdaptiveTest, public ::testing::WithParamInterface<int> {};

TEST_P(AdaptiveTies, ProbabilitiesSumToOneAndAgree) {
  TransformerLmOptions options = adaptive_options();
  options.tie_adaptive_weights = GetParam() >= 1;
  options.tie_adaptive_proj = GetParam() >= 2;
  const auto model = make_transformer_lm(options);
  const at::Tensor tokens = some_tokens();
  const at::Tensor features = model->features(tokens);
  const at::Tensor all = model->output(features);
  ASSERT_EQ(all.sizes(), at::IntArrayRef({4, 14, kVocabulary}));
  EXPECT_LT((all.exp().sum(-1) - 1).abs().max().item<double>(), 1e-5);
  at::Tensor targets = tokens.flip({0}).contiguous();
  const at::Tensor expected = all.gather(2, targets.unsqueeze(2)).squeeze(2).masked_fill(targets.eq(1), 0);
  EXPECT_LT((model->target_log_probs(features, targets) - expected).abs().max().item<double>(), 1e-5);
  EXPECT_NEAR(model->nll_sum(features, targets).item<double>(), -expected.sum().item<double>(), 1e-3);
}
INSTANTIATE_TEST_SUITE_P(None, AdaptiveTies, ::testing::Values(0));
INSTANTIATE_TEST_SUITE_P(Weights, AdaptiveTies, ::testing::Values(1));
INSTANTIATE_TEST_SUITE_P(WeightsAndProjections, AdaptiveTies, ::testing::Values(2));

TEST_F(AdaptiveTest, EveryWordOfATailIsLearned) {
  // The reference's padding number strikes the second word of every tail; here it is like the others.
  const auto model = make_transformer_lm(adaptive_options());
  const at::Tensor tokens = torch::tensor({{5, 21, 6, 41}}, at::kLong);
  const at::Tensor features = model->features(tokens);
  const at::Tensor log_probs = model->target_log_probs(features, tokens);
  EXPECT_NEAR(model->nll_sum(features, tokens).item<double>(), -log_probs.sum().item<double>(), 1e-4);
  EXPECT_LT(log_probs.max().item<double>(), 0);
  model->nll_sum(features, tokens).backward();
  for (const auto& parameter : quant::unique_parameters(*model)) {
    if (parameter.name == "decoder.embed_tokens.embeddings.1.0.weight") {
      EXPECT_GT(parameter.tensor.grad()[1].abs().max().item<double>(), 0);
    }
  }
}

TEST_F(AdaptiveTest, BothEndsOfATieSeeOneNoise) {
  const auto model = make_transformer_lm(adaptive_options());
  quant::quant_noise(*model, 0.3, 8);
  for (const quant::NamedSlot& slot : quant::named_slots(*model)) {
    if (slot.name != "decoder.embed_tokens.embeddings.0.0") continue;
    const at::Tensor whole = slot.slot->value(true, at::kFloat).clone();
    const at::Tensor rows = slot.slot->rows(at::arange(20, at::kLong), true);
    EXPECT_TRUE(at::equal(whole, rows));
    EXPECT_GT(whole.eq(0).sum().item<int64_t>(), 64);
  }
}

TEST_F(AdaptiveTest, QuantizationKeepsTheTies) {
  const auto model = make_transformer_lm(adaptive_options());
  const config::QuantizationConfig config =
      config::load_quantization_config(std::string(QN_SOURCE_DIR) + "/recipes/wiki103_ipq.yaml");
  const quant::Plan plan = quant::plan_pq(*model, config);
  ASSERT_EQ(plan.stages.size(), 3u);
  EXPECT_EQ(plan.stages[1].size(), 6u);
  for (const auto& stage : plan.stages) quant::quantize_stage(*model, stage, {});
  model->eval();
  const at::Tensor tokens = some_tokens();
  const at::Tensor features = model->features(tokens);
  const at::Tensor all = model->output(features);
  EXPECT_LT((all.exp().sum(-1) - 1).abs().max().item<double>(), 1e-5);
  model->train();
  model->nll_sum(model->features(tokens), tokens).backward();
  for (const auto& parameter : quant::unique_parameters(*model)) {
    EXPECT_TRUE(parameter.tensor.grad().defined()) << parameter.name;
  }
}

TEST_F(AdaptiveTest, RefusesWhatDoesNotFit) {
  const auto message = [](const TransformerLmOptions& options) -> std::string {
    try {
      make_transformer_lm(options);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  TransformerLmOptions options = adaptive_options();
  options.adaptive_input_cutoff = options.adaptive_softmax_cutoff = {20, 400};
  EXPECT_THAT(message(options), HasSubstr("rising numbers up to the 60 entries"));
  // The padding entry would be a word of the first tail, whose targets are told apart by its number.
  options.adaptive_input_cutoff = options.adaptive_softmax_cutoff = {1, 40};
  EXPECT_THAT(message(options), HasSubstr("cutoff: found 1,40, expected a first band with at least"));
  options = adaptive_options();
  options.adaptive_softmax_cutoff = {10, 40};
  EXPECT_THAT(message(options), HasSubstr("expected the same"));
  options = adaptive_options();
  options.adaptive_input_factor = options.adaptive_softmax_factor = 10;
  EXPECT_THAT(message(options), HasSubstr("leaves nothing"));
  options = adaptive_options();
  options.tie_adaptive_weights = false;
  EXPECT_THAT(message(options), HasSubstr("tie-adaptive-proj"));
  options = adaptive_options();
  options.share_decoder_input_output_embed = true;
  EXPECT_THAT(message(options), HasSubstr("tie-adaptive-weights"));
}

TEST_F(AdaptiveTest, TheWikitextModelHasThePapersNumberOfWeights) {
  TransformerLmOptions options;
  options.vocab_size = 267744;
  options.decoder_embed_dim = 1024;
  options.decoder_ffn_embed_dim = 4096;
  options.decoder_layers = 8;
  options.decoder_attention_heads = 8;
  options.decoder_normalize_before = options.no_decoder_final_norm = true;
  options.adaptive_input = true;
  options.adaptive_input_cutoff = options.adaptive_softmax_cutoff = {20000, 60000};
  options.tie_adaptive_weights = options.tie_adaptive_proj = true;
  const auto half = make_transformer_lm(options);
  EXPECT_EQ(quant::count_parameters(*half), 146'163'712);
  // The other eight layers are as large as these.
  int64_t layers = 0;
  for (const auto& parameter : quant::unique_parameters(*half)) {
    if (parameter.name.starts_with("decoder.layers.")) layers += parameter.tensor.numel();
  }
  EXPECT_EQ(146'163'712 + layers, 246'933'504);
}

TEST_F(AdaptiveTest, SharedLayersAreStoredOnceAndAppliedAsOften) {
  TransformerLmOptions options = adaptive_options();
  options.decoder_layers = 4;
  const int64_t apart = quant::count_parameters(*make_transformer_lm(options));
  options.share_layers = 2;
  options.dropout = options.attention_dropout = 0.2;
  const auto shared = make_transformer_lm(options);
  options.decoder_layers = 2;
  options.share_layers = 1;
  const auto half = make_transformer_lm(options);
  EXPECT_EQ(quant::count_parameters(*shared), quant::count_parameters(*half));
  EXPECT_LT(quant::count_parameters(*shared), apart);
  half->eval();
  shared->eval();
  // A step at a time with caches, one for each application, equals the whole.
  const at::Tensor tokens = some_tokens().narrow(0, 0, 1);
  const at::NoGradGuard no_grad;
  const at::Tensor whole = shared->features(tokens);
  DecoderCache cache;
  std::vector<at::Tensor> steps;
  for (int64_t t = 0; t < tokens.size(1); ++t)
    steps.push_back(shared->features(tokens.narrow(1, t, 1), &cache));
  EXPECT_EQ(cache.size(), 4u);
  EXPECT_LT((at::cat(steps, 1) - whole).abs().max().item<double>(), 1e-4);
  EXPECT_GT((whole - half->features(tokens)).abs().max().item<double>(), 1e-2);
  options.decoder_layers = 3;
  options.share_layers = 2;
  EXPECT_THROW(make_transformer_lm(options), Error);
}

}  // namespace
}  // namespace quantnoise::models
