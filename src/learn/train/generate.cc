#include "quantnoise/train/generate.h"

#include <algorithm>
#include <cmath>

#include "quantnoise/base/error.h"

namespace quantnoise::train {

namespace {

/// Readable text; every </s> inside ends a line.
std::string decode_lines(const std::vector<int64_t>& ids, const text::Dictionary& dictionary,
                         const text::Tokenizer& tokenizer) {
  std::string lines;
  auto begin = ids.begin();
  while (true) {
    const auto end = std::find(begin, ids.end(), text::kEos);
    const std::vector<int64_t> line(begin, end);
    lines += dictionary.decode(line, tokenizer);
    if (end == ids.end()) return lines;
    lines += '\n';
    begin = end + 1;
  }
}

}  // namespace

at::Tensor LanguageModelScorer::last_logits(const at::Tensor& tokens) {
  const at::Tensor features = model_.features(tokens, &cache_);
  return model_.output(features.select(1, features.size(1) - 1)).to(at::kFloat).contiguous();
}

std::span<const float> LanguageModelScorer::logits_span() const {
  return {logits_.const_data_ptr<float>(), static_cast<size_t>(logits_.numel())};
}

std::span<const float> LanguageModelScorer::start(std::span<const int64_t> prompt, int64_t num_sequences) {
  torch::NoGradGuard no_grad;
  cache_.clear();
  const at::Tensor tokens = torch::tensor(at::ArrayRef<int64_t>(prompt.data(), prompt.size()), at::kLong);
  logits_ = last_logits(tokens.unsqueeze(0));
  if (num_sequences > 1) {
    // The prompt is read once; the sequences part only afterwards.
    logits_ = logits_.repeat({num_sequences, 1});
    for (nn::AttentionCache& layer : cache_) {
      layer.key = layer.key.repeat({num_sequences, 1, 1, 1});
      layer.value = layer.value.repeat({num_sequences, 1, 1, 1});
    }
  }
  return logits_span();
}

std::span<const float> LanguageModelScorer::advance(std::span<const int64_t> tokens) {
  torch::NoGradGuard no_grad;
  QN_INVARIANT(static_cast<int64_t>(tokens.size()) == logits_.size(0));
  const at::Tensor next = torch::tensor(at::ArrayRef<int64_t>(tokens.data(), tokens.size()), at::kLong);
  logits_ = last_logits(next.unsqueeze(1));
  return logits_span();
}

std::vector<GeneratedText> generate_text(models::LanguageModel& model, const text::Dictionary& dictionary,
                                         const text::Tokenizer& tokenizer, const std::string& prompt,
                                         search::GenerateOptions options, bool stop_at_eos) {
  std::vector<int64_t> ids = dictionary.encode_line(prompt, tokenizer, /*append_eos=*/false);
  const auto num_unknown = std::count(ids.begin(), ids.end(), text::kUnk);
  options.banned.insert(options.banned.end(), {text::kBos, text::kPad});
  options.end_token = stop_at_eos ? text::kEos : -1;
  options.penalized_token = text::kUnk;

  std::vector<int64_t> source = {text::kEos};
  source.insert(source.end(), ids.begin(), ids.end());
  LanguageModelScorer scorer(model);
  std::vector<GeneratedText> texts;
  for (const search::GeneratedSequence& sequence : search::generate(scorer, source, options)) {
    std::vector<int64_t> all = ids;
    all.insert(all.end(), sequence.tokens.begin(), sequence.tokens.end());
    GeneratedText text;
    text.prompt = dictionary.decode(ids, tokenizer);
    text.text = decode_lines(all, dictionary, tokenizer);
    text.num_tokens = static_cast<int64_t>(sequence.tokens.size());
    text.log_prob = sequence.log_prob;
    text.ended = sequence.ended;
    text.num_unknown = num_unknown;
    texts.push_back(std::move(text));
  }
  return texts;
}

}  // namespace quantnoise::train
