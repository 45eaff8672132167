#include "quantnoise/search/word_scores.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "quantnoise/base/error.h"

namespace quantnoise::search {

double NllSum::loss() const {
  return num_tokens == 0 ? 0.0 : nll / static_cast<double>(num_tokens) / std::log(2.0);
}

double NllSum::perplexity() const { return std::exp2(loss()); }

NllSum& NllSum::operator+=(const NllSum& other) {
  nll += other.nll;
  num_tokens += other.num_tokens;
  num_skipped += other.num_skipped;
  return *this;
}

void NllSum::add(int64_t target, float log_prob) {
  QN_REQUIRE(!std::isnan(log_prob), ErrorKind::kNumeric, "the score of a target is not a number (token ",
             target, ")");
  if (std::isinf(log_prob)) {
    ++num_skipped;
    return;
  }
  nll -= static_cast<double>(log_prob);
  ++num_tokens;
}

WordScores::WordScores(std::function<std::string(int64_t)> symbol, std::string continuation_marker)
    : symbol_(std::move(symbol)), marker_(std::move(continuation_marker)) {}

bool WordScores::is_continuation(const std::string& piece) const {
  return !marker_.empty() && piece.ends_with(marker_);
}

std::vector<WordScores::Word> WordScores::add(const std::vector<int64_t>& targets,
                                              const std::vector<float>& log_probs) {
  std::vector<Word> words;
  Word word;
  for (size_t i = 0; i < targets.size(); ++i) {
    const std::string piece = symbol_(targets[i]);
    word.log_prob += static_cast<double>(log_probs[i]);
    if (is_continuation(piece)) {
      // A sample may end inside a word: its last piece counts as a token, and follows the word before.
      if (i + 1 == targets.size()) return record(std::move(words), word.log_prob);
      word.text += piece.substr(0, piece.size() - marker_.size());
      word.is_bpe = true;
      ++num_continuations_;
      continue;
    }
    word.text += piece;
    words.push_back(std::move(word));
    word = Word();
  }
  return record(std::move(words), std::nullopt);
}

std::vector<WordScores::Word> WordScores::record(std::vector<Word> words, std::optional<double> part) {
  for (size_t i = 0; i < words.size(); ++i) {
    WordStat& stat = stat_of(words[i]);
    ++stat.count;
    stat.log_prob += words[i].log_prob;
    const bool is_last = i + 1 == words.size();
    if (is_last && !part) continue;
    stat.next_log_prob += is_last ? *part : words[i + 1].log_prob;
    ++stat.num_next;
  }
  return words;
}

WordStat& WordScores::stat_of(const Word& word) {
  const auto [found, inserted] = stat_index_.try_emplace(word.text, stats_.size());
  if (inserted) {
    WordStat stat;
    stat.word = word.text;
    stat.is_bpe = word.is_bpe;
    stats_.push_back(std::move(stat));
  }
  return stats_[found->second];
}

std::vector<WordStat> WordScores::stats() const {
  std::vector<WordStat> sorted = stats_;
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const WordStat& a, const WordStat& b) { return a.count > b.count; });
  return sorted;
}

}  // namespace quantnoise::search
