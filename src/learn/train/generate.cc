#include "quantnoise/train/generate.h"

#include <utility>

#include "quantnoise/base/error.h"

namespace quantnoise::train {

at::Tensor LanguageModelScorer::last_logits(const at::Tensor& tokens) {
  const at::Tensor features = model_.features(tokens, &cache_);
  return model_.output(features.select(1, features.size(1) - 1)).to(at::kFloat).contiguous();
}

std::span<const float> LanguageModelScorer::logits_span() const {
  return {logits_.const_data_ptr<float>(), static_cast<size_t>(logits_.numel())};
}

std::span<const float> LanguageModelScorer::start(std::span<const search::Tokens> prompts,
                                                  int64_t num_sequences) {
  torch::NoGradGuard no_grad;
  QN_INVARIANT(prompts.size() == 1);
  cache_.clear();
  logits_ = last_logits(torch::tensor(prompts[0], at::kLong).unsqueeze(0));
  // The prompt is read once; the sequences part only afterwards.
  if (num_sequences > 1) {
    logits_ = logits_.repeat({num_sequences, 1});
    select(std::vector<int64_t>(static_cast<size_t>(num_sequences), 0));
  }
  return logits_span();
}

void LanguageModelScorer::select(std::span<const int64_t> parents) {
  torch::NoGradGuard no_grad;
  const at::Tensor rows = torch::tensor(at::ArrayRef<int64_t>(parents.data(), parents.size()), at::kLong);
  for (nn::AttentionCache& layer : cache_) {
    layer.key = layer.key.index_select(0, rows);
    layer.value = layer.value.index_select(0, rows);
  }
}

std::span<const float> LanguageModelScorer::advance(std::span<const int64_t> tokens) {
  torch::NoGradGuard no_grad;
  QN_INVARIANT(static_cast<int64_t>(tokens.size()) == cache_.front().key.size(0));
  const at::Tensor next = torch::tensor(at::ArrayRef<int64_t>(tokens.data(), tokens.size()), at::kLong);
  logits_ = last_logits(next.unsqueeze(1));
  return logits_span();
}

std::vector<GeneratedText> generate_text(models::LanguageModel& model, const text::Dictionary& dictionary,
                                         const text::Tokenizer& tokenizer, const std::string& prompt,
                                         const search::GenerateOptions& options, bool stop_at_eos) {
  const search::TextCodec codec = {
      [&](std::string_view line) { return dictionary.encode_line(line, tokenizer, /*append_eos=*/false); },
      [&](std::span<const int64_t> tokens) { return dictionary.decode(tokens, tokenizer); }};
  LanguageModelScorer scorer(model);
  return std::move(search::generate_text(scorer, codec, {&prompt, 1}, options, stop_at_eos).front());
}

}  // namespace quantnoise::train
