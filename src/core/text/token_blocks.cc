#include "quantnoise/text/token_blocks.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "quantnoise/base/error.h"
#include "quantnoise/text/dictionary.h"

namespace quantnoise::text {

namespace {

constexpr std::array<std::pair<BreakMode, std::string_view>, 4> kBreakModes = {{
    {BreakMode::kNone, "none"},
    {BreakMode::kComplete, "complete"},
    {BreakMode::kCompleteDoc, "complete_doc"},
    {BreakMode::kEos, "eos"},
}};

using Sizes = std::span<const int32_t>;

std::vector<TokenBlock> cut_everywhere(Sizes sizes, int64_t block_size) {
  int64_t num_tokens = 0;
  for (const int32_t size : sizes) num_tokens += size;
  std::vector<TokenBlock> blocks;
  size_t sentence = 0;
  int64_t sentence_begin = 0;
  for (int64_t begin = 0; begin < num_tokens; begin += block_size) {
    while (sentence_begin < begin) sentence_begin += sizes[sentence++];
    const int64_t size = std::min(block_size, num_tokens - begin);
    blocks.push_back({begin, static_cast<int32_t>(size), sentence_begin == begin});
  }
  return blocks;
}

std::vector<TokenBlock> cut_complete(Sizes sizes, int64_t block_size) {
  std::vector<TokenBlock> blocks;
  TokenBlock block{0, 0, true};
  for (const int32_t size : sizes) {
    if (block.size > 0 && int64_t{block.size} + size > block_size) {
      blocks.push_back(block);
      block = {block.begin + block.size, 0, true};
    }
    block.size += size;
  }
  if (block.size > 0) blocks.push_back(block);
  return blocks;
}

std::vector<TokenBlock> cut_documents(Sizes sizes, int64_t block_size, int64_t separator_size) {
  std::vector<TokenBlock> blocks;
  TokenBlock block{0, 0, true};
  // Blocks of one token are empty documents.
  const auto finish_block = [&] {
    if (block.size > 1) blocks.push_back(block);
    block = {block.begin + block.size, 0, true};
  };
  for (const int32_t size : sizes) {
    if (size == separator_size) {
      finish_block();
      block.begin += size;
      continue;
    }
    if (block.size > 0 && int64_t{block.size} + size > block_size) finish_block();
    block.size += size;
  }
  finish_block();
  return blocks;
}

std::vector<TokenBlock> cut_sentences(Sizes sizes) {
  std::vector<TokenBlock> blocks;
  int64_t begin = 0;
  for (const int32_t size : sizes) {
    if (size > 0) blocks.push_back({begin, size, true});
    begin += size;
  }
  return blocks;
}

}  // namespace

TokenStream::TokenStream(std::vector<IndexedDataset> parts) : parts_(std::move(parts)) {
  for (const IndexedDataset& part : parts_) {
    part_begins_.push_back(num_tokens_);
    num_tokens_ += part.num_tokens();
    num_sentences_ += part.num_sentences();
  }
}

TokenStream TokenStream::from_sentences(const std::vector<std::vector<int64_t>>& sentences) {
  TokenStream stream;
  for (const std::vector<int64_t>& sentence : sentences) {
    stream.memory_.insert(stream.memory_.end(), sentence.begin(), sentence.end());
    stream.memory_sizes_.push_back(static_cast<int32_t>(sentence.size()));
  }
  stream.num_tokens_ = static_cast<int64_t>(stream.memory_.size());
  stream.num_sentences_ = static_cast<int64_t>(sentences.size());
  return stream;
}

std::vector<int32_t> TokenStream::sentence_sizes() const {
  std::vector<int32_t> sizes = memory_sizes_;
  for (const IndexedDataset& part : parts_) part.append_sizes(sizes);
  return sizes;
}

void TokenStream::read(int64_t begin, std::span<int64_t> out) const {
  QN_INVARIANT(begin >= 0 && begin + static_cast<int64_t>(out.size()) <= num_tokens_);
  if (parts_.empty()) {
    std::copy_n(memory_.begin() + begin, out.size(), out.begin());
    return;
  }
  auto part = static_cast<size_t>(std::upper_bound(part_begins_.begin(), part_begins_.end(), begin) -
                                  part_begins_.begin()) -
              1;
  while (!out.empty()) {
    const int64_t offset = begin - part_begins_[part];
    const int64_t count = std::min(static_cast<int64_t>(out.size()), parts_[part].num_tokens() - offset);
    parts_[part].read(offset, out.first(static_cast<size_t>(count)));
    out = out.subspan(static_cast<size_t>(count));
    begin += count;
    ++part;
  }
}

BreakMode parse_break_mode(std::string_view name) {
  std::vector<std::string_view> names;
  for (const auto& [mode, mode_name] : kBreakModes) {
    if (mode_name == name) return mode;
    names.push_back(mode_name);
  }
  throw Error(ErrorKind::kConfig,
              str_cat("sample break mode: found '", name, "', expected one of: ", join(names, ", ")));
}

std::string_view break_mode_name(BreakMode mode) {
  for (const auto& [candidate, name] : kBreakModes) {
    if (candidate == mode) return name;
  }
  QN_INVARIANT(false);
  return {};
}

std::vector<TokenBlock> cut_blocks(Sizes sentence_sizes, BreakMode mode, int64_t block_size,
                                   int64_t document_separator_size) {
  const bool is_size_good = block_size >= 1 && block_size <= std::numeric_limits<int32_t>::max();
  QN_REQUIRE(is_size_good || mode == BreakMode::kEos, ErrorKind::kConfig, "tokens per sample: found ",
             block_size, ", expected 1 to 2^31 - 1");
  switch (mode) {
    case BreakMode::kNone:
      return cut_everywhere(sentence_sizes, block_size);
    case BreakMode::kComplete:
      return cut_complete(sentence_sizes, block_size);
    case BreakMode::kCompleteDoc:
      return cut_documents(sentence_sizes, block_size, document_separator_size);
    case BreakMode::kEos:
      return cut_sentences(sentence_sizes);
  }
  QN_INVARIANT(false);
  return {};
}

TokenBlockDataset::TokenBlockDataset(std::shared_ptr<const TokenStream> stream, BreakMode mode,
                                     int64_t block_size)
    : stream_(std::move(stream)), blocks_(cut_blocks(stream_->sentence_sizes(), mode, block_size)) {}

void TokenBlockDataset::read_target(int64_t index, std::span<int64_t> out) const {
  QN_INVARIANT(static_cast<int64_t>(out.size()) == block_size(index));
  stream_->read(blocks_[static_cast<size_t>(index)].begin, out);
}

void TokenBlockDataset::read_source(int64_t index, std::span<int64_t> out) const {
  QN_INVARIANT(static_cast<int64_t>(out.size()) == block_size(index));
  const TokenBlock& block = blocks_[static_cast<size_t>(index)];
  if (block.at_sentence_start) {
    out[0] = kEos;
    stream_->read(block.begin, out.subspan(1));  // all but the block's last token
  } else {
    stream_->read(block.begin - 1, out);
  }
}

std::vector<int64_t> context_before(const TokenBlockDataset& blocks, int64_t index, int64_t tokens_per_sample,
                                    int64_t context_window) {
  const int64_t room = tokens_per_sample + context_window - blocks.block_size(index);
  const auto wanted = static_cast<size_t>(std::clamp<int64_t>(room, 0, context_window));
  std::vector<int64_t> newest_first;
  std::vector<int64_t> source;
  for (int64_t before = index - 1; before >= 0 && newest_first.size() < wanted; --before) {
    source.resize(static_cast<size_t>(blocks.block_size(before)));
    blocks.read_source(before, source);
    for (size_t i = source.size(); i > 0 && newest_first.size() < wanted; --i) {
      if (source[i - 1] != kPad) newest_first.push_back(source[i - 1]);
    }
  }
  return {newest_first.rbegin(), newest_first.rend()};
}

}  // namespace quantnoise::text
