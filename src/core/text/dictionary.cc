#include "quantnoise/text/dictionary.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <set>
#include <string_view>
#include <utility>

#include "core/text/line_codec.h"
#include "quantnoise/base/error.h"
#include "quantnoise/base/file.h"

namespace quantnoise::text {

namespace {

constexpr std::array<std::string_view, kNumSpecial> kSpecialSymbols = {"<s>", "<pad>", "</s>", "<unk>"};
constexpr std::string_view kOverwriteFlag = "#fairseq:overwrite";
constexpr std::string_view kOverwriteEnd = " #fairseq:overwrite\n";

std::string_view strip_right(std::string_view text) {
  const size_t last = text.find_last_not_of(" \t\r\n\v\f");
  return last == std::string_view::npos ? std::string_view() : text.substr(0, last + 1);
}

// "a b 5" → {"a b", "5"}. Errors: kFormat without a blank.
std::pair<std::string_view, std::string_view> split_at_last_blank(std::string_view line) {
  const size_t blank = line.rfind(' ');
  QN_REQUIRE(blank != std::string_view::npos, ErrorKind::kFormat, "found '", line,
             "', expected '<symbol> <count>'");
  return {line.substr(0, blank), line.substr(blank + 1)};
}

int64_t parse_count(std::string_view field) {
  int64_t count = 0;
  const auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), count);
  const bool is_whole = error == std::errc() && end == field.data() + field.size();
  QN_REQUIRE(is_whole && count >= 0, ErrorKind::kFormat, "found the count '", field,
             "', expected a whole number of at least 0");
  return count;
}

}  // namespace

Dictionary::Dictionary() {
  for (const std::string_view symbol : kSpecialSymbols) append(symbol, 1);
}

Dictionary::Dictionary(const DictionaryView& view) {
  symbols_.reserve(static_cast<size_t>(view.size()));
  for (int64_t i = 0; i < view.size(); ++i) append(view.symbol(i), view.count(i));
}

int64_t Dictionary::append(std::string_view symbol, int64_t count) {
  const int64_t index = size();
  symbols_.emplace_back(symbol);
  counts_.push_back(count);
  index_.insert_or_assign(symbols_.back(), index);
  return index;
}

int64_t Dictionary::add_symbol(std::string_view symbol, int64_t count) {
  const auto found = index_.find(symbol);
  if (found == index_.end()) return append(symbol, count);
  counts_[static_cast<size_t>(found->second)] += count;
  return found->second;
}

Dictionary Dictionary::load(const std::string& path) {
  const base::MappedFile file = base::MappedFile::open(path);
  const auto bytes = file.bytes();
  return parse({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path);
}

Dictionary Dictionary::parse(std::string_view text, const std::string& name) {
  Dictionary dictionary;
  int64_t line_number = 0;
  for (size_t begin = 0; begin < text.size();) {
    ++line_number;
    const size_t end = std::min(text.find('\n', begin), text.size());
    try {
      dictionary.parse_line(text.substr(begin, end - begin));
    } catch (const Error& error) {
      throw Error(error.kind(),
                  str_cat("cannot read the dictionary ", name, ", line ", line_number, ": ", error.message()),
                  error.hint());
    }
    begin = end + 1;
  }
  return dictionary;
}

void Dictionary::parse_line(std::string_view line) {
  std::string replaced;
  std::string_view checked = line;
  QN_REQUIRE(replace_invalid_utf8(checked, replaced) == 0, ErrorKind::kFormat,
             "found bytes that are not UTF-8, expected UTF-8 text");
  auto [symbol, field] = split_at_last_blank(strip_right(line));
  const bool overwrite = field == kOverwriteFlag;
  if (overwrite) std::tie(symbol, field) = split_at_last_blank(symbol);
  const int64_t count = parse_count(field);
  if (contains(symbol) && !overwrite) {
    throw Error(
        ErrorKind::kFormat, str_cat("the symbol '", symbol, "' comes a second time"),
        str_cat("write ' ", kOverwriteFlag, "' at the end of the line when the later number shall count"));
  }
  append(symbol, count);
}

Dictionary Dictionary::build(const WordCounts& counts, const DictionaryOptions& options) {
  Dictionary dictionary;
  std::vector<std::pair<std::string_view, int64_t>> words;
  for (const auto& [word, count] : counts) {
    const int64_t index = dictionary.index(word);
    const bool is_special = index != kUnk || word == kSpecialSymbols[kUnk];
    if (is_special) {
      dictionary.counts_[static_cast<size_t>(index)] += count;
    } else {
      words.emplace_back(word, count);
    }
  }
  std::sort(words.begin(), words.end(), [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  if (options.max_symbols > 0) {
    const int64_t limit = std::max<int64_t>(options.max_symbols - kNumSpecial, 0);
    words.resize(std::min(words.size(), static_cast<size_t>(limit)));
  }
  for (const auto& [word, count] : words) {
    if (count < options.threshold) break;
    dictionary.append(word, count);
  }
  if (options.padding_factor > 1) {
    for (int filler = 0; dictionary.size() % options.padding_factor != 0; ++filler) {
      std::array<char, 32> name{};
      std::snprintf(name.data(), name.size(), "madeupword%04d", filler);
      dictionary.add_symbol(name.data(), 0);
    }
  }
  return dictionary;
}

void Dictionary::save(const std::string& path) const {
  base::AtomicFile file(path);
  std::set<std::string_view> earlier(symbols_.begin(), symbols_.begin() + kNumSpecial);
  for (size_t i = kNumSpecial; i < symbols_.size(); ++i) {
    const bool is_new = earlier.insert(symbols_[i]).second;
    file.write(str_cat(symbols_[i], ' ', counts_[i], is_new ? std::string_view("\n") : kOverwriteEnd));
  }
  file.commit();
}

int64_t Dictionary::index(std::string_view symbol) const {
  const auto found = index_.find(symbol);
  return found == index_.end() ? kUnk : found->second;
}

bool Dictionary::contains(std::string_view symbol) const { return index_.find(symbol) != index_.end(); }

const std::string& Dictionary::symbol(int64_t index) const {
  require_symbol_number(index, size());
  return symbols_[static_cast<size_t>(index)];
}

int64_t Dictionary::count(int64_t index) const {
  require_symbol_number(index, size());
  return counts_[static_cast<size_t>(index)];
}

std::vector<int64_t> Dictionary::encode_line(std::string_view line, const Tokenizer& tokenizer,
                                             bool append_eos) const {
  return encode_with(*this, line, tokenizer, append_eos);
}

std::string Dictionary::decode(std::span<const int64_t> ids, const Tokenizer& tokenizer) const {
  return decode_with(*this, ids, tokenizer);
}

}  // namespace quantnoise::text
