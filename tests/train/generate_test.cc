#include "quantnoise/train/generate.h"

#include <gtest/gtest.h>

#include "quantnoise/base/error.h"

namespace quantnoise::train {
namespace {

models::TransformerLmOptions small_options() {
  models::TransformerLmOptions options;
  options.vocab_size = 40;
  options.decoder_embed_dim = options.decoder_input_dim = options.decoder_output_dim = 16;
  options.decoder_ffn_embed_dim = 32;
  options.decoder_layers = 2;
  options.decoder_attention_heads = 2;
  options.max_target_positions = 32;
  return options;
}

std::shared_ptr<models::LanguageModel> small_model() {
  torch::manual_seed(3);
  auto model = models::make_transformer_lm(small_options());
  model->eval();
  return model;
}

text::Dictionary small_dictionary() {
  text::Dictionary dictionary;
  for (int i = 0; i < 36; ++i) dictionary.add_symbol(str_cat("w", i));
  return dictionary;
}

TEST(LanguageModelScorer, CacheGivesTheLogitsOfTheWholeSequence) {
  const auto model = small_model();
  LanguageModelScorer scorer(*model);
  std::vector<int64_t> sequence = {2, 10, 11};
  std::vector<float> logits;
  const auto first = scorer.start({&sequence, 1}, 2);
  ASSERT_EQ(first.size(), 80u);
  for (const int64_t next : {5, 17, 8}) {
    sequence.push_back(next);
    const auto both = scorer.advance(std::vector<int64_t>{next, next});
    logits.assign(both.begin(), both.end());
    torch::NoGradGuard no_grad;
    const at::Tensor tokens = torch::tensor(sequence).unsqueeze(0);
    const at::Tensor whole =
        model->output(model->features(tokens)).select(1, tokens.size(1) - 1).to(at::kFloat);
    for (int64_t i = 0; i < 40; ++i) {
      EXPECT_NEAR(logits[static_cast<size_t>(i)], whole[0][i].item<float>(), 1e-4);
      EXPECT_NEAR(logits[static_cast<size_t>(40 + i)], whole[0][i].item<float>(), 1e-4);
    }
  }
}

TEST(GenerateText, ContinuesAPromptReproducibly) {
  const auto model = small_model();
  const text::Dictionary dictionary = small_dictionary();
  search::GenerateOptions options;
  options.max_length = 6;
  options.num_samples = 2;
  const auto texts = generate_text(*model, dictionary, text::space_tokenizer(), "w1 nowhere w2", options,
                                   /*stop_at_eos=*/false);
  ASSERT_EQ(texts.size(), 2u);
  EXPECT_EQ(texts[0].prompt, "w1 <unk> w2");
  EXPECT_EQ(texts[0].num_unknown, 1);
  EXPECT_TRUE(texts[0].text.starts_with("w1 <unk> w2"));
  EXPECT_EQ(texts[0].num_tokens, 6);
  EXPECT_EQ(texts[0].text.find("<s>"), std::string::npos);
  EXPECT_LT(texts[0].log_prob, 0);
  const auto again =
      generate_text(*model, dictionary, text::space_tokenizer(), "w1 nowhere w2", options, false);
  EXPECT_EQ(again[1].text, texts[1].text);
}

TEST(GenerateText, EmptyPromptStartsALineAndPositionsEndIt) {
  const auto model = small_model();
  search::GenerateOptions options;
  options.max_length = 1000;
  const auto texts = generate_text(*model, small_dictionary(), text::space_tokenizer(), "", options, false);
  EXPECT_EQ(texts[0].num_tokens, 32);  // the model's positions
  std::string long_prompt;
  for (int i = 0; i < 40; ++i) long_prompt += "w1 ";
  EXPECT_THROW(generate_text(*model, small_dictionary(), text::space_tokenizer(), long_prompt, options),
               Error);
}

}  // namespace
}  // namespace quantnoise::train
