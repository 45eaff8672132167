#pragma once
// Log probabilities of a text, summed up: the loss, and word by word.

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace quantnoise::search {

/// Sums over scored targets. Plain sums: those of several shards or splits can be added.
struct NllSum {
  double nll = 0;           ///< Σ −ln p(target)
  int64_t num_tokens = 0;   ///< targets counted; padding and skipped ones are not
  int64_t num_skipped = 0;  ///< targets of probability zero: left out of both sums, as the reference does

  double loss() const;        ///< bits a token: nll / num_tokens / ln 2; 0 without tokens
  double perplexity() const;  ///< 2^loss, not rounded
  NllSum& operator+=(const NllSum& other);
  /// Adds ln p of one target. Errors: kNumeric when it is not a number.
  void add(int64_t target, float log_prob);
};

/// What --output-word-stats reports about one word.
struct WordStat {
  std::string word;
  int64_t count = 0;
  double log_prob = 0;       ///< Σ ln p(word)
  bool is_bpe = false;       ///< made of several pieces
  double next_log_prob = 0;  ///< Σ ln p of the word that follows
  int64_t num_next = 0;      ///< how often one followed in the same sample
};

/// Collects scores word by word. With a continuation marker ("@@"), pieces are joined to words, and
/// `num_continuations` is the number of pieces that must not count as tokens of their own.
class WordScores {
 public:
  /// symbol: from a token's number to its text. continuation_marker: "" joins nothing.
  WordScores(std::function<std::string(int64_t)> symbol, std::string continuation_marker);

  struct Word {
    std::string text;
    double log_prob = 0;
    bool is_bpe = false;
  };
  /// The words of one sample: targets and log_probs from its first scored position on. Pieces at its end
  /// whose word goes on in another sample are none.
  std::vector<Word> add(const std::vector<int64_t>& targets, const std::vector<float>& log_probs);

  int64_t num_continuations() const { return num_continuations_; }
  /// Sorted by count, most frequent first; ties in the order of first occurrence.
  std::vector<WordStat> stats() const;

 private:
  bool is_continuation(const std::string& piece) const;
  /// Adds the words of a sample to the statistics. part: score of what follows the last of them, if anything
  /// does.
  std::vector<Word> record(std::vector<Word> words, std::optional<double> part);
  WordStat& stat_of(const Word& word);

  std::function<std::string(int64_t)> symbol_;
  std::string marker_;
  int64_t num_continuations_ = 0;
  std::vector<WordStat> stats_;
  std::unordered_map<std::string, size_t> stat_index_;
};

}  // namespace quantnoise::search
