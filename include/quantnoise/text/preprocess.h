#pragma once
// The work of `qn preprocess`: text files to dict.txt and binarized splits, as fairseq-preprocess
// --only-source.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "quantnoise/text/dictionary.h"

namespace quantnoise::text {

struct PreprocessOptions {
  std::string trainpref;  ///< text file; "" : none
  std::string validpref;  ///< comma separated: valid, valid1, …
  std::string testpref;   ///< comma separated: test, test1, …
  std::string destdir = "data-bin";
  int64_t thresholdsrc = 0;
  int64_t nwordssrc = -1;
  std::string srcdict;      ///< use this dictionary instead of building one; "" : build from trainpref
  bool only_source = true;  ///< false (two languages) is refused for now
  int workers = 1;          ///< threads; the result does not depend on it
  std::string tokenizer = "space";
  int64_t padding_factor = 8;
  /// Called now and then from the calling thread: what is being done, bytes done, bytes in all.
  std::function<void(const std::string& what, uint64_t done, uint64_t total)> progress;
};

struct SplitReport {
  std::string split;  ///< "train", "valid", "valid1", …
  std::string path;   ///< the text file
  int64_t num_sentences = 0;
  int64_t num_tokens = 0;        ///< with one </s> a sentence
  int64_t num_replaced = 0;      ///< words that became <unk>; a literal "<unk>" is not one
  int64_t num_invalid_utf8 = 0;  ///< ill-formed sequences that became U+FFFD

  double percent_replaced() const;
  /// "train.txt: 10 sents, 120 tokens, 1.67% replaced (by <unk>)", as fairseq says it.
  std::string text() const;
};

struct PreprocessReport {
  int64_t dictionary_size = 0;
  std::vector<SplitReport> splits;
};

/// Writes destdir/dict.txt, destdir/tokenizer.txt (the tokenizer's name) and destdir/SPLIT.{bin,idx}.
/// Errors: kUsage (neither trainpref nor srcdict), kIo (missing files), kData (empty file, no words).
PreprocessReport preprocess(const PreprocessOptions& options);

/// Words of a text file and how often they occur; </s> once a line. Same result for any number of workers.
WordCounts count_words(const std::string& path, const Tokenizer& tokenizer, int workers = 1);

/// The tokenizer's name stored in a data folder; `fallback` where nothing is stored (folders made by
/// fairseq).
std::string stored_tokenizer_name(const std::string& folder, const std::string& fallback = "space");

}  // namespace quantnoise::text
