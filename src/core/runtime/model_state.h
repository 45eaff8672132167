#pragma once
// What LanguageModel holds.

#include <optional>

#include "core/runtime/transformer_decoder.h"
#include "quantnoise/runtime/language_model.h"

namespace quantnoise::runtime {

struct LanguageModel::State {
  std::string name;
  std::string architecture;
  int64_t file_bytes = 0;
  std::shared_ptr<const void> map;  ///< keeps blobs alive
  text::DictionaryView dictionary;
  const text::Tokenizer* tokenizer = nullptr;
  std::map<std::string, std::string> task_options;
  architecture::TransformerLmOptions options;
  std::vector<codec::ByteBlock> blobs;
  std::optional<TransformerDecoder> decoder;
  std::vector<LayerReport> layers;
};

}  // namespace quantnoise::runtime
