// The readers of text: dict.txt, the dictionary of a model file, lines and their tokenizers, binarized data.
// The first byte of an input says which: 'd', 'v', 'b' (two bytes with the length of the index, the index,
// the data), otherwise a line.

#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz_target.h"
#include "quantnoise/text/dictionary.h"
#include "quantnoise/text/indexed_dataset.h"
#include "quantnoise/text/tokenizer.h"
#include "quantnoise/text/utf8.h"

namespace quantnoise {
namespace {

using fuzz::require;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

/// What a dictionary says of its words and of words it does not have.
template <typename AnyDictionary>
void use_dictionary(const AnyDictionary& dictionary) {
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < dictionary.size(); ++i) {
    const std::string word(dictionary.symbol(i));
    const int64_t found = dictionary.index(word);
    require(found >= 0 && found < dictionary.size(), "a number beyond the dictionary");
    require(found == text::kUnk || dictionary.symbol(found) == word, "another word's number");
    dictionary.count(i);
    ids.push_back(i);
  }
  for (const std::string& name : text::tokenizer_names()) {
    const text::Tokenizer& tokenizer = text::find_tokenizer(name);
    for (const int64_t id : dictionary.encode_line("a line of 3.14 words , isn't it", tokenizer))
      require(id >= 0 && id < dictionary.size(), "a token beyond the dictionary");
    dictionary.decode(ids, tokenizer);
  }
}

void read_dictionary_text(std::string_view input) {
  const text::Dictionary dictionary = text::Dictionary::parse(input, "input");
  use_dictionary(dictionary);
  const std::vector<std::byte> bytes = text::dictionary_to_bytes(dictionary);
  const text::DictionaryView view = text::DictionaryView::open(bytes, "input");
  require(view.size() == dictionary.size(), "another number of words in the file's form");
  for (int64_t i = 0; i < view.size(); ++i) {
    require(view.symbol(i) == dictionary.symbol(i), "another word in the file's form");
    require(view.index(view.symbol(i)) == dictionary.index(dictionary.symbol(i)),
            "another number in the file's form");
  }
}

void read_dictionary_bytes(std::string_view input) {
  // Memory of its own: sanitizers see a read beyond it.
  const std::vector<std::byte> bytes(bytes_of(input).begin(), bytes_of(input).end());
  const text::DictionaryView view = text::DictionaryView::open(bytes, "input");
  use_dictionary(view);
  require(text::Dictionary(view).size() == view.size(), "a dictionary of another size");
}

void require_utf8(std::string_view text, const char* what) {
  std::string storage;
  require(text::replace_invalid_utf8(text, storage) == 0, what);
}

void read_line(std::string_view line) {
  std::string storage;
  text::replace_invalid_utf8(line, storage);
  require_utf8(line, "replacing left ill-formed bytes");
  for (const std::string& name : text::tokenizer_names()) {
    const text::Tokenizer& tokenizer = text::find_tokenizer(name);
    std::vector<std::string> tokens;
    tokenizer.tokenize(line, tokens);
    for (const std::string& token : tokens) {
      require(!token.empty(), "an empty token");
      require_utf8(token, "a token that is not UTF-8");
      for (size_t at = 0; at < token.size();) {
        const text::CodePoint point = text::decode_utf8(token, at);
        require(!text::is_unicode_space(point.value), "white space in a token");
        at += static_cast<size_t>(point.num_bytes);
      }
    }
    require_utf8(tokenizer.detokenize(tokens), "joined text that is not UTF-8");
  }
}

/// A folder of this process for the two files of a data set.
const std::string& data_prefix() {
  static const std::string prefix = [] {
    const auto folder = std::filesystem::temp_directory_path() / ("qn_fuzz_" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder);
    static const struct Remover {
      std::filesystem::path folder;
      ~Remover() {
        std::error_code ignored;
        std::filesystem::remove_all(folder, ignored);
      }
    } remover{folder};
    return (folder / "data").string();
  }();
  return prefix;
}

void read_binarized(std::string_view input) {
  if (input.size() < 2) return;
  uint16_t index_bytes = 0;
  std::memcpy(&index_bytes, input.data(), 2);
  input.remove_prefix(2);
  const size_t split = std::min<size_t>(index_bytes, input.size());
  std::ofstream(data_prefix() + ".idx", std::ios::binary) << input.substr(0, split);
  std::ofstream(data_prefix() + ".bin", std::ios::binary) << input.substr(split);
  const text::IndexedDataset dataset = text::IndexedDataset::open(data_prefix());
  std::vector<int32_t> sizes;
  dataset.append_sizes(sizes);
  std::vector<int64_t> tokens(static_cast<size_t>(dataset.num_tokens()));
  dataset.read(0, tokens);
  const auto [smallest, largest] = dataset.token_range();
  for (const int64_t token : tokens) require(token >= smallest && token <= largest, "a token out of range");
}

}  // namespace
}  // namespace quantnoise

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view rest(reinterpret_cast<const char*>(data) + 1, size - 1);
  try {
    switch (data[0]) {
      case 'd':
        quantnoise::read_dictionary_text(rest);
        break;
      case 'v':
        quantnoise::read_dictionary_bytes(rest);
        break;
      case 'b':
        quantnoise::read_binarized(rest);
        break;
      default:
        quantnoise::read_line(rest);
    }
  } catch (const quantnoise::Error& error) {
    quantnoise::fuzz::require_honest(error);
  }
  return 0;
}
