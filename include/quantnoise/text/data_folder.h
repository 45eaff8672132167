#pragma once
// Folders of binarized text: a dictionary, a tokenizer's name, splits.

#include <memory>
#include <string>
#include <vector>

#include "quantnoise/text/dictionary.h"
#include "quantnoise/text/token_blocks.h"

namespace quantnoise::text {

/// A folder made by `qn preprocess` or fairseq-preprocess --only-source.
class DataFolder {
 public:
  /// first: whose dictionary and tokenizer stand for those of a folder without dict.txt; null: it needs its
  /// own. Errors: kIo for a missing folder or dict.txt; kFormat for a bad dictionary.
  static DataFolder open(const std::string& folder, const DataFolder* first = nullptr);

  const std::string& folder() const { return folder_; }
  const std::shared_ptr<const Dictionary>& dictionary() const { return dictionary_; }
  /// "space" unless the folder says otherwise.
  const std::string& tokenizer_name() const { return tokenizer_name_; }
  /// Names of the splits there are, sorted.
  std::vector<std::string> splits() const;
  bool has_split(const std::string& split) const;
  /// Errors: kData for a missing split (those present are named).
  void require_split(const std::string& split) const;
  /// The tokens of a split, checked against the dictionary. combine: also SPLIT1, SPLIT2, … as one stream.
  /// Errors: those of require_split(); kData for an empty split and for numbers outside the dictionary.
  std::shared_ptr<const TokenStream> stream(const std::string& split, bool combine = false) const;

 private:
  std::string folder_;
  std::string tokenizer_name_;
  std::shared_ptr<const Dictionary> dictionary_;
};

/// The parts of "FOLDER:FOLDER:…", without empty ones; what is a folder as it stands is one part.
std::vector<std::string> split_folders(const std::string& list);

}  // namespace quantnoise::text
