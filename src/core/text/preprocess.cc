#include "quantnoise/text/preprocess.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <set>

#include "core/text/text_chunks.h"
#include "quantnoise/base/error.h"
#include "quantnoise/base/file.h"
#include "quantnoise/base/log.h"
#include "quantnoise/base/parallel.h"
#include "quantnoise/text/indexed_dataset.h"
#include "quantnoise/text/utf8.h"

namespace quantnoise::text {

namespace {

constexpr const char* kEosSymbol = "</s>";
constexpr const char* kUnkSymbol = "<unk>";
constexpr const char* kTokenizerFile = "/tokenizer.txt";

using Progress = std::function<void(const std::string& what, uint64_t done, uint64_t total)>;

struct Split {
  std::string name;
  std::string path;
};

// "a,b" for "valid" → valid: a, valid1: b.
void append_splits(const std::string& name, const std::string& paths, std::vector<Split>& splits) {
  int number = 0;
  for (size_t begin = 0; begin < paths.size(); ++number) {
    const size_t end = std::min(paths.find(',', begin), paths.size());
    splits.push_back({number == 0 ? name : str_cat(name, number), paths.substr(begin, end - begin)});
    begin = end + 1;
  }
}

std::vector<Split> list_splits(const PreprocessOptions& options) {
  std::vector<Split> splits;
  append_splits("train", options.trainpref, splits);
  append_splits("valid", options.validpref, splits);
  append_splits("test", options.testpref, splits);
  return splits;
}

void merge_counts(WordCounts& into, const WordCounts& from) {
  for (const auto& [word, count] : from) into[word] += count;
}

WordCounts count_chunk(std::string_view chunk, const Tokenizer& tokenizer) {
  std::string replaced;
  replace_invalid_utf8(chunk, replaced);
  WordCounts counts;
  std::vector<std::string> tokens;
  int64_t num_lines = 0;
  for_each_line(chunk, [&](std::string_view line) {
    tokens.clear();
    tokenizer.tokenize(line, tokens);
    for (std::string& token : tokens) {
      const auto found = counts.find(token);
      if (found != counts.end()) {
        ++found->second;
      } else {
        counts.emplace(std::move(token), 1);
      }
    }
    ++num_lines;
  });
  if (num_lines > 0) counts[kEosSymbol] += num_lines;
  return counts;
}

void count_file(const TextChunks& file, const Tokenizer& tokenizer, const base::ParallelFor& threads,
                const Progress& progress, WordCounts& counts) {
  for_each_chunk<WordCounts>(
      file, threads, [&](std::string_view chunk) { return count_chunk(chunk, tokenizer); },
      [&](const WordCounts& chunk_counts, uint64_t bytes_done) {
        merge_counts(counts, chunk_counts);
        if (progress) progress("counting " + file.path(), bytes_done, file.num_bytes());
      });
}

// A chunk in numbers.
struct EncodedChunk {
  std::vector<int64_t> ids;
  std::vector<int64_t> ends;  // of each sentence, in ids
  int64_t num_replaced = 0;
  int64_t num_invalid_utf8 = 0;
};

EncodedChunk encode_chunk(std::string_view chunk, const Tokenizer& tokenizer, const Dictionary& dictionary) {
  EncodedChunk encoded;
  std::string replaced;
  encoded.num_invalid_utf8 = replace_invalid_utf8(chunk, replaced);
  std::vector<std::string> tokens;
  for_each_line(chunk, [&](std::string_view line) {
    tokens.clear();
    tokenizer.tokenize(line, tokens);
    for (const std::string& token : tokens) {
      const int64_t id = dictionary.index(token);
      if (id == kUnk && token != kUnkSymbol) ++encoded.num_replaced;
      encoded.ids.push_back(id);
    }
    encoded.ids.push_back(kEos);
    encoded.ends.push_back(static_cast<int64_t>(encoded.ids.size()));
  });
  return encoded;
}

void write_chunk(const EncodedChunk& chunk, IndexedDatasetWriter& writer, SplitReport& report) {
  int64_t begin = 0;
  for (const int64_t end : chunk.ends) {
    writer.add(std::span(chunk.ids).subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin)));
    begin = end;
  }
  report.num_replaced += chunk.num_replaced;
  report.num_invalid_utf8 += chunk.num_invalid_utf8;
}

// The writer has all sentences afterwards, and has not finished.
SplitReport binarize(const Split& split, const Dictionary& dictionary, const Tokenizer& tokenizer,
                     const PreprocessOptions& options, const base::ParallelFor& threads,
                     IndexedDatasetWriter& writer) {
  const TextChunks file(split.path);
  SplitReport report;
  report.split = split.name;
  report.path = split.path;
  for_each_chunk<EncodedChunk>(
      file, threads, [&](std::string_view chunk) { return encode_chunk(chunk, tokenizer, dictionary); },
      [&](const EncodedChunk& chunk, uint64_t bytes_done) {
        write_chunk(chunk, writer, report);
        if (options.progress) options.progress("binarizing " + split.path, bytes_done, file.num_bytes());
      });
  report.num_sentences = writer.num_sentences();
  report.num_tokens = writer.num_tokens();
  return report;
}

void check_options(const PreprocessOptions& options, const std::vector<Split>& splits) {
  QN_REQUIRE(options.only_source, ErrorKind::kUnsupported,
             "preprocessing of two languages is not supported: give --only-source");
  QN_REQUIRE(!options.trainpref.empty() || !options.srcdict.empty(), ErrorKind::kUsage,
             "preprocess: found neither --trainpref nor --srcdict, expected one of them for the dictionary");
  QN_REQUIRE(options.workers >= 1, ErrorKind::kUsage, "--workers: found ", options.workers,
             ", expected at least 1");
  QN_REQUIRE(options.padding_factor >= 0, ErrorKind::kUsage, "--padding-factor: found ",
             options.padding_factor, ", expected at least 0");
  // All inputs are looked at before anything is written.
  for (const Split& split : splits) TextChunks{split.path};
}

Dictionary make_dictionary(const PreprocessOptions& options, const std::vector<Split>& splits,
                           const Tokenizer& tokenizer, const base::ParallelFor& threads) {
  if (!options.srcdict.empty()) return Dictionary::load(options.srcdict);
  WordCounts counts;
  for (const Split& split : splits) {
    if (split.name.starts_with("train"))
      count_file(TextChunks(split.path), tokenizer, threads, options.progress, counts);
  }
  const Dictionary dictionary =
      Dictionary::build(counts, {options.thresholdsrc, options.nwordssrc, options.padding_factor});
  QN_REQUIRE(counts.size() > 1 && dictionary.size() > kNumSpecial, ErrorKind::kData,
             "no words for a dictionary in ", options.trainpref, " (threshold ", options.thresholdsrc,
             ", at most ", options.nwordssrc, " symbols)");
  return dictionary;
}

// Splits of an earlier run that this one does not rewrite would be read with a dictionary they do not fit.
void warn_of_stale_splits(const std::string& destdir, const std::vector<Split>& splits) {
  std::set<std::string> written;
  for (const Split& split : splits) written.insert(split.name);
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(destdir, error)) {
    const std::string stem = entry.path().stem().string();
    if (entry.path().extension() == ".idx" && !written.contains(stem)) {
      base::log(base::LogLevel::kWarning,
                str_cat(destdir, " holds the split '", stem,
                        "' of an earlier run; it does not follow the new dictionary"));
    }
  }
}

}  // namespace

double SplitReport::percent_replaced() const {
  return num_tokens == 0 ? 0.0 : 100.0 * static_cast<double>(num_replaced) / static_cast<double>(num_tokens);
}

std::string SplitReport::text() const {
  char percent[32];
  std::snprintf(percent, sizeof percent, "%.3g", percent_replaced());
  std::string line = str_cat(path, ": ", num_sentences, " sents, ", num_tokens, " tokens, ", percent,
                             "% replaced (by ", kUnkSymbol, ")");
  if (num_invalid_utf8 > 0)
    line += str_cat(", ", num_invalid_utf8, " ill-formed UTF-8 sequences replaced by U+FFFD");
  return line;
}

WordCounts count_words(const std::string& path, const Tokenizer& tokenizer, int workers) {
  const base::ThreadPool threads(workers);
  WordCounts counts;
  count_file(TextChunks(path), tokenizer, threads, nullptr, counts);
  return counts;
}

PreprocessReport preprocess(const PreprocessOptions& options) {
  const std::vector<Split> splits = list_splits(options);
  const Tokenizer& tokenizer = find_tokenizer(options.tokenizer);
  check_options(options, splits);
  const base::ThreadPool threads(options.workers);
  const Dictionary dictionary = make_dictionary(options, splits, tokenizer, threads);
  base::make_directories(options.destdir);
  warn_of_stale_splits(options.destdir, splits);
  PreprocessReport report;
  report.dictionary_size = dictionary.size();
  std::vector<std::unique_ptr<IndexedDatasetWriter>> writers;
  for (const Split& split : splits) {
    writers.push_back(std::make_unique<IndexedDatasetWriter>(options.destdir + "/" + split.name,
                                                             token_type_for(dictionary.size())));
    report.splits.push_back(binarize(split, dictionary, tokenizer, options, threads, *writers.back()));
  }
  // Only now, and all of it: what an earlier run left does not fit the new dictionary.
  dictionary.save(options.destdir + "/dict.txt");
  base::write_text_file(options.destdir + kTokenizerFile, options.tokenizer + "\n");
  for (const auto& writer : writers) writer->finish();
  return report;
}

std::string stored_tokenizer_name(const std::string& folder, const std::string& fallback) {
  const std::string path = folder + kTokenizerFile;
  if (!base::file_exists(path)) return fallback;
  std::string name = base::read_text_file(path);
  name.erase(std::find(name.begin(), name.end(), '\n'), name.end());
  try {
    return std::string(find_tokenizer(name).name());
  } catch (Error& error) {
    throw error.in(path);
  }
}

}  // namespace quantnoise::text
