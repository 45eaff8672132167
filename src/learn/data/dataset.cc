#include "quantnoise/data/dataset.h"

#include <algorithm>
#include <utility>

#include "quantnoise/base/error.h"

namespace quantnoise::data {

namespace {

// A batch of padding with room for `width` tokens a sentence.
Batch padded_batch(std::span<const int64_t> ids, int64_t width) {
  Batch batch;
  batch.num_sentences = static_cast<int64_t>(ids.size());
  batch.ids.assign(ids.begin(), ids.end());
  batch.tokens = torch::full({batch.num_sentences, width}, text::kPad, torch::kInt64);
  batch.target = torch::full({batch.num_sentences, width}, text::kPad, torch::kInt64);
  return batch;
}

// Elements [begin, begin + count) of a row of a (B, T) int64 tensor.
std::span<int64_t> row_part(torch::Tensor& matrix, int64_t row, int64_t begin, int64_t count) {
  return {matrix.data_ptr<int64_t>() + row * matrix.size(1) + begin, static_cast<size_t>(count)};
}

int64_t count_targets(const Batch& batch) {
  const int64_t* target = batch.target.const_data_ptr<int64_t>();
  const int64_t num_padded = std::count(target, target + batch.target.numel(), text::kPad);
  return batch.target.numel() - num_padded;
}

}  // namespace

LanguageModelDataset::LanguageModelDataset(std::shared_ptr<const TokenStream> stream,
                                           const LanguageModelOptions& options)
    : blocks_(std::move(stream), options.sample_break_mode, options.tokens_per_sample),
      output_dictionary_size_(options.output_dictionary_size) {
  sizes_.reserve(blocks_.blocks().size());
  for (const text::TokenBlock& block : blocks_.blocks()) sizes_.push_back(block.size);
}

void LanguageModelDataset::read_target(int64_t index, std::span<int64_t> out) const {
  blocks_.read_target(index, out);
  if (output_dictionary_size_ < 0) return;
  for (int64_t& id : out) {
    if (id >= output_dictionary_size_) id = text::kUnk;
  }
}

Batch LanguageModelDataset::collate(std::span<const int64_t> ids) const {
  if (ids.empty()) return {};
  int64_t width = 0;
  for (const int64_t id : ids) width = std::max(width, blocks_.block_size(id));
  Batch batch = padded_batch(ids, width);
  batch.start_indices.assign(ids.size(), 0);
  for (int64_t row = 0; row < batch.num_sentences; ++row) {
    const int64_t id = batch.ids[static_cast<size_t>(row)];
    const int64_t size = blocks_.block_size(id);
    batch.lengths.push_back(size);
    blocks_.read_source(id, row_part(batch.tokens, row, 0, size));
    read_target(id, row_part(batch.target, row, 0, size));
  }
  batch.num_tokens = count_targets(batch);
  return batch;
}

ContextWindowDataset::ContextWindowDataset(std::shared_ptr<const LanguageModelDataset> dataset,
                                           int64_t tokens_per_sample, int64_t context_window)
    : dataset_(std::move(dataset)), tokens_per_sample_(tokens_per_sample), context_window_(context_window) {
  QN_REQUIRE(tokens_per_sample >= 1 && context_window >= 0, ErrorKind::kConfig, "context window: found ",
             context_window, " tokens before samples of ", tokens_per_sample,
             ", expected at least 0 and samples of at least 1");
}

std::vector<int64_t> ContextWindowDataset::context(int64_t index) const {
  return text::context_before(dataset_->blocks(), index, tokens_per_sample_, context_window_);
}

Batch ContextWindowDataset::collate(std::span<const int64_t> ids) const {
  if (ids.empty()) return {};
  const TokenBlockDataset& blocks = dataset_->blocks();
  std::vector<std::vector<int64_t>> contexts;
  int64_t width = 0;
  for (const int64_t id : ids) {
    contexts.push_back(context(id));
    width = std::max(width, blocks.block_size(id) + static_cast<int64_t>(contexts.back().size()));
  }
  Batch batch = padded_batch(ids, width);
  for (int64_t row = 0; row < batch.num_sentences; ++row) {
    const int64_t id = batch.ids[static_cast<size_t>(row)];
    const int64_t size = blocks.block_size(id);
    const std::vector<int64_t>& context = contexts[static_cast<size_t>(row)];
    const auto start = static_cast<int64_t>(context.size());
    std::copy(context.begin(), context.end(), row_part(batch.tokens, row, 0, start).begin());
    blocks.read_source(id, row_part(batch.tokens, row, start, size));
    dataset_->read_target(id, row_part(batch.target, row, start, size));
    batch.lengths.push_back(start + size);
    batch.start_indices.push_back(start);
  }
  batch.num_tokens = count_targets(batch);
  return batch;
}

std::shared_ptr<const LanguageModelDataset> LanguageModelData::split(
    const std::string& split, const LanguageModelOptions& options) const {
  return std::make_shared<const LanguageModelDataset>(stream(split, options.combine), options);
}

}  // namespace quantnoise::data
