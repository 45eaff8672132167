#pragma once
// Cuts a long stream of tokens into samples (fairseq/data/token_block_dataset.py).

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quantnoise/text/indexed_dataset.h"

namespace quantnoise::text {

/// All tokens of a split, addressed as if its sentences (and its files) stood one after the other.
class TokenStream {
 public:
  TokenStream() = default;
  /// One file, or several in order (train, train1, …).
  explicit TokenStream(std::vector<IndexedDataset> parts);
  static TokenStream from_sentences(const std::vector<std::vector<int64_t>>& sentences);

  int64_t num_tokens() const { return num_tokens_; }
  int64_t num_sentences() const { return num_sentences_; }
  std::vector<int32_t> sentence_sizes() const;
  /// Copies tokens [begin, begin + out.size()).
  void read(int64_t begin, std::span<int64_t> out) const;

 private:
  std::vector<IndexedDataset> parts_;
  std::vector<int64_t> part_begins_;
  std::vector<int64_t> memory_;
  std::vector<int32_t> memory_sizes_;
  int64_t num_tokens_ = 0;
  int64_t num_sentences_ = 0;
};

enum class BreakMode {
  kNone,         ///< every block_size tokens, the last block may be shorter
  kComplete,     ///< whole sentences while they fit; a longer sentence is a block of its own
  kCompleteDoc,  ///< as kComplete, but never across a document's end (a sentence of </s> alone)
  kEos,          ///< one sentence a block
};

/// "none", "complete", "complete_doc", "eos". Errors: kConfig with the names there are.
BreakMode parse_break_mode(std::string_view name);
std::string_view break_mode_name(BreakMode mode);

/// One sample: tokens [begin, begin + size) of the stream.
struct TokenBlock {
  int64_t begin = 0;
  int32_t size = 0;
  bool at_sentence_start = false;  ///< the source then begins with </s> instead of the token before

  bool operator==(const TokenBlock&) const = default;
};

/// Cuts sentences of these sizes. block_size (tokens) is ignored by kEos; empty sentences give no block.
/// Errors: kConfig for block_size < 1 or above 2^31 - 1.
std::vector<TokenBlock> cut_blocks(std::span<const int32_t> sentence_sizes, BreakMode mode,
                                   int64_t block_size, int64_t document_separator_size = 1);

/// Blocks as language-model samples: the target is the block, the source is the block shifted right by one;
/// its first token is </s> at the start of a sentence, else the token before the block.
class TokenBlockDataset {
 public:
  TokenBlockDataset(std::shared_ptr<const TokenStream> stream, BreakMode mode, int64_t block_size);

  int64_t size() const { return static_cast<int64_t>(blocks_.size()); }
  int64_t block_size(int64_t index) const { return blocks_[static_cast<size_t>(index)].size; }
  const std::vector<TokenBlock>& blocks() const { return blocks_; }
  const TokenStream& stream() const { return *stream_; }

  /// Both spans have block_size(index) elements.
  void read_target(int64_t index, std::span<int64_t> out) const;
  void read_source(int64_t index, std::span<int64_t> out) const;

 private:
  std::shared_ptr<const TokenStream> stream_;
  std::vector<TokenBlock> blocks_;
};

/// Up to `context_window` source tokens of the blocks before one, oldest first, as evaluation shows them to a
/// model (fairseq's LMContextWindowDataset, but a function of the number alone). Block and context together
/// never exceed tokens_per_sample + context_window, unless the block alone does.
std::vector<int64_t> context_before(const TokenBlockDataset& blocks, int64_t index, int64_t tokens_per_sample,
                                    int64_t context_window);

}  // namespace quantnoise::text
