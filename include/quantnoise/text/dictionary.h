#pragma once
// Words and their numbers, with fairseq's meaning and its dict.txt (fairseq/data/dictionary.py).
//
// Two forms: Dictionary owns its words and can grow; DictionaryView looks words up directly in the bytes of a
// mapped model file, so that a model with hundreds of thousands of words is ready at once.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "quantnoise/text/tokenizer.h"

namespace quantnoise::text {

/// Numbers of the special symbols, the same in every dictionary.
inline constexpr int64_t kBos = 0;  ///< <s>
inline constexpr int64_t kPad = 1;  ///< <pad>
inline constexpr int64_t kEos = 2;  ///< </s>
inline constexpr int64_t kUnk = 3;  ///< <unk>
inline constexpr int64_t kNumSpecial = 4;

/// Lets maps from std::string be asked with a std::string_view, without a copy.
struct StringHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};
using SymbolMap = std::unordered_map<std::string, int64_t, StringHash, std::equal_to<>>;
/// How often each word occurs.
using WordCounts = SymbolMap;

/// How a dictionary is made of counts.
struct DictionaryOptions {
  int64_t threshold = 0;       ///< words seen less often are left out
  int64_t max_symbols = -1;    ///< size limit, specials included, padding words not; ≤ 0: none
  int64_t padding_factor = 8;  ///< filler words "madeupword0000" … up to a multiple of this; ≤ 1: none
};

class DictionaryView;

class Dictionary {
 public:
  /// The four special symbols alone.
  Dictionary();
  explicit Dictionary(const DictionaryView& view);

  /// Reads dict.txt: lines "symbol count", split at the last blank; specials are implied. A word that comes
  /// twice is an error unless its line ends in " #fairseq:overwrite" (the later number then counts). Errors:
  /// kIo; kFormat with file and line.
  static Dictionary load(const std::string& path);
  /// As load; `name` stands for the file in errors.
  static Dictionary parse(std::string_view text, const std::string& name);
  /// Sorts by count descending, ties by byte order of the word (= code points); then limits and padding.
  /// Counts of special symbols go to these symbols.
  static Dictionary build(const WordCounts& counts, const DictionaryOptions& options);

  /// Writes dict.txt (specials left out), atomically. Errors: kIo.
  void save(const std::string& path) const;

  int64_t size() const { return static_cast<int64_t>(symbols_.size()); }
  /// The word's number, kUnk for unknown words.
  int64_t index(std::string_view symbol) const;
  bool contains(std::string_view symbol) const;
  /// Errors: kData for a number outside [0, size()).
  const std::string& symbol(int64_t index) const;
  int64_t count(int64_t index) const;

  /// Appends a word or adds to its count; returns its number.
  int64_t add_symbol(std::string_view symbol, int64_t count = 1);

  /// Numbers of the line's tokens, then kEos if asked for.
  std::vector<int64_t> encode_line(std::string_view line, const Tokenizer& tokenizer = space_tokenizer(),
                                   bool append_eos = true) const;
  /// Words of the numbers, joined by the tokenizer into readable text; <s>, <pad> and </s> are left out.
  std::string decode(std::span<const int64_t> ids, const Tokenizer& tokenizer = space_tokenizer()) const;

  bool operator==(const Dictionary& other) const { return symbols_ == other.symbols_; }

 private:
  int64_t append(std::string_view symbol, int64_t count);
  void parse_line(std::string_view line);

  std::vector<std::string> symbols_;
  std::vector<int64_t> counts_;
  SymbolMap index_;
};

/// One little-endian block for the model file:
///   "QNDICT01" · u64 n · u64 string_bytes · i64 counts[n] · u32 offsets[n + 1] · u32 sorted[n] · strings
/// `sorted` lists the numbers by (word, number). Errors: kData when the strings exceed 4 GiB.
std::vector<std::byte> dictionary_to_bytes(const Dictionary& dictionary);

/// Looks words up in the bytes written by dictionary_to_bytes; the bytes must outlive the view. Any
/// alignment.
class DictionaryView {
 public:
  DictionaryView() = default;
  /// Checks lengths, offsets and the sorted index, whatever the bytes are. Errors: kFormat naming `name`.
  static DictionaryView open(std::span<const std::byte> bytes, const std::string& name);

  int64_t size() const { return size_; }
  /// The word's number, kUnk for unknown words. A binary search.
  int64_t index(std::string_view symbol) const;
  /// Errors: kData for a number outside [0, size()).
  std::string_view symbol(int64_t index) const;
  int64_t count(int64_t index) const;

  std::vector<int64_t> encode_line(std::string_view line, const Tokenizer& tokenizer = space_tokenizer(),
                                   bool append_eos = true) const;
  std::string decode(std::span<const int64_t> ids, const Tokenizer& tokenizer = space_tokenizer()) const;

 private:
  std::string_view symbol_unchecked(int64_t index) const;
  uint32_t sorted(int64_t rank) const;
  void check(const std::string& name) const;

  int64_t size_ = 0;
  const std::byte* counts_ = nullptr;
  const std::byte* offsets_ = nullptr;
  const std::byte* sorted_ = nullptr;
  std::string_view strings_;
};

}  // namespace quantnoise::text
