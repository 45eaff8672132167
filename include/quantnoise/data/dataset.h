#pragma once
// Samples as batches of tensors, and language-model data folders.

#include <torch/torch.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "quantnoise/text/data_folder.h"
#include "quantnoise/text/dictionary.h"
#include "quantnoise/text/token_blocks.h"

namespace quantnoise::data {

using text::BreakMode;
using text::TokenBlockDataset;
using text::TokenStream;

/// What one forward pass works on. B sentences, T tokens; padding (kPad) on the right.
struct Batch {
  torch::Tensor tokens;                ///< (B, T) int64: the source; undefined in an empty batch
  torch::Tensor target;                ///< (B, T) int64: the next tokens; kPad where nothing is scored
  std::vector<int64_t> lengths;        ///< (B) source tokens of each sentence, padding excluded
  std::vector<int64_t> start_indices;  ///< (B) first scored position: 0, or the context's length
  std::vector<int64_t> ids;            ///< (B) sample numbers
  int64_t num_tokens = 0;              ///< targets that are not padding
  int64_t num_sentences = 0;           ///< B

  /// True for the filler that short shards get: no tensors, weight zero.
  bool empty() const { return num_sentences == 0; }
};

/// Samples that can be put together to batches. Reading is thread-safe: collate() depends on its arguments
/// alone.
class BatchDataset {
 public:
  virtual ~BatchDataset() = default;
  /// Tokens of every sample, for batching.
  virtual const std::vector<int64_t>& sizes() const = 0;
  virtual Batch collate(std::span<const int64_t> ids) const = 0;
  int64_t size() const { return static_cast<int64_t>(sizes().size()); }
};

struct LanguageModelOptions {
  int64_t tokens_per_sample = 1024;
  BreakMode sample_break_mode = BreakMode::kNone;
  bool combine = false;                 ///< also SPLIT1, SPLIT2, … as one stream
  int64_t output_dictionary_size = -1;  ///< ≥ 0: targets from here on become <unk>
};

class LanguageModelDataset : public BatchDataset {
 public:
  LanguageModelDataset(std::shared_ptr<const TokenStream> stream, const LanguageModelOptions& options);

  const std::vector<int64_t>& sizes() const override { return sizes_; }
  Batch collate(std::span<const int64_t> ids) const override;
  const TokenBlockDataset& blocks() const { return blocks_; }
  /// The target of a sample, with the output dictionary's limit applied. out: sizes()[index] elements.
  void read_target(int64_t index, std::span<int64_t> out) const;

 private:
  TokenBlockDataset blocks_;
  std::vector<int64_t> sizes_;
  int64_t output_dictionary_size_;
};

/// Every sample preceded by up to `context_window` source tokens of the samples before it, which are not
/// scored (fairseq's LMContextWindowDataset, but a function of the sample number alone: any order, any batch,
/// any thread). `tokens_per_sample` is the block size of `dataset`: sample and context together never exceed
/// tokens_per_sample + context_window, unless the sample alone does.
class ContextWindowDataset : public BatchDataset {
 public:
  ContextWindowDataset(std::shared_ptr<const LanguageModelDataset> dataset, int64_t tokens_per_sample,
                       int64_t context_window);

  /// Without the context.
  const std::vector<int64_t>& sizes() const override { return dataset_->sizes(); }
  Batch collate(std::span<const int64_t> ids) const override;
  /// The context of one sample, oldest token first.
  std::vector<int64_t> context(int64_t index) const;

 private:
  std::shared_ptr<const LanguageModelDataset> dataset_;
  int64_t tokens_per_sample_;
  int64_t context_window_;
};

/// A data folder whose splits become samples.
class LanguageModelData : public text::DataFolder {
 public:
  /// Errors: as text::DataFolder.
  static LanguageModelData open(const std::string& folder, const LanguageModelData* first = nullptr) {
    return LanguageModelData(text::DataFolder::open(folder, first));
  }
  /// Errors: as stream(), and kConfig for samples without room.
  std::shared_ptr<const LanguageModelDataset> split(const std::string& split,
                                                    const LanguageModelOptions& options) const;

 private:
  explicit LanguageModelData(text::DataFolder folder) : text::DataFolder(std::move(folder)) {}
};

}  // namespace quantnoise::data
