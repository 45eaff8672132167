#pragma once
// fairseq's binarized data: PREFIX.bin holds the tokens of all sentences one after the other, PREFIX.idx
// their sizes (fairseq/data/indexed_dataset.py). Written: the "mmap" kind. Read: "mmap" and the older
// "lazy"/"cached" kind.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "quantnoise/base/file.h"

namespace quantnoise::text {

/// Element types and their codes in the index.
enum class TokenType : uint8_t {
  kUint8 = 1,
  kInt8 = 2,
  kInt16 = 3,
  kInt32 = 4,
  kInt64 = 5,
  kUint16 = 8,
  kUint32 = 9,
  kUint64 = 10
};

int64_t token_type_bytes(TokenType type);
/// kUint16 below 65,500 symbols, else kInt32 (every version of fairseq reads both).
TokenType token_type_for(int64_t num_symbols);

/// Writes PREFIX.bin and PREFIX.idx; nothing of them appears before finish(), which leaves no old index
/// beside new data, whatever happens.
class IndexedDatasetWriter {
 public:
  IndexedDatasetWriter(std::string prefix, TokenType type);

  /// Appends one sentence. Errors: kData for a number that the element type cannot hold.
  void add(std::span<const int64_t> tokens);
  void finish();

  int64_t num_sentences() const { return static_cast<int64_t>(sizes_.size()); }
  int64_t num_tokens() const { return num_tokens_; }

 private:
  std::string prefix_;
  TokenType type_;
  base::AtomicFile data_;
  std::vector<int32_t> sizes_;
  std::vector<std::byte> scratch_;
  int64_t num_tokens_ = 0;
};

/// Both files mapped and checked: lengths, element type, sizes, and that the sentences fill the data file
/// exactly.
class IndexedDataset {
 public:
  /// Errors: kIo for a missing file, kFormat naming the file, what was found and what was expected.
  static IndexedDataset open(const std::string& prefix);
  static bool exists(const std::string& prefix);

  int64_t num_sentences() const { return num_sentences_; }
  int64_t num_tokens() const { return num_tokens_; }
  TokenType type() const { return type_; }
  const std::string& prefix() const { return prefix_; }
  /// Tokens of one sentence.
  int64_t sentence_size(int64_t sentence) const;
  /// Appends the sizes of all sentences.
  void append_sizes(std::vector<int32_t>& sizes) const;
  /// Copies the tokens [begin, begin + out.size()) of the concatenated sentences.
  void read(int64_t begin, std::span<int64_t> out) const;
  /// Reads everything once: {smallest, largest} number; {0, -1} without tokens.
  std::pair<int64_t, int64_t> token_range() const;

 private:
  void open_mmap_index();
  void open_legacy_index();
  void check_sizes();

  std::string prefix_;
  base::MappedFile index_;
  base::MappedFile data_;
  TokenType type_ = TokenType::kUint16;
  int64_t num_sentences_ = 0;
  int64_t num_tokens_ = 0;
  const std::byte* sizes_ = nullptr;  // unaligned: int32 (mmap) or int64 (legacy)
  int size_bytes_ = 4;
  int64_t id_shift_ = 0;  // the legacy kind stores number + 1
};

}  // namespace quantnoise::text
