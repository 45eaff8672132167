#include "quantnoise/text/dictionary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "quantnoise/base/error.h"
#include "quantnoise/base/file.h"

namespace quantnoise::text {
namespace {

using ::testing::HasSubstr;

nlohmann::json golden() {
  return nlohmann::json::parse(base::read_text_file(QN_SOURCE_DIR "/tests/golden/data/dictionary.json"));
}

WordCounts count_lines(const nlohmann::json& lines) {
  WordCounts counts;
  for (const std::string line : lines) {
    std::vector<std::string> tokens;
    space_tokenizer().tokenize(line, tokens);
    for (const std::string& token : tokens) ++counts[token];
    ++counts["</s>"];
  }
  return counts;
}

std::string temporary_path(const std::string& name) {
  const std::string folder = QN_BINARY_DIR "/test_text_dictionary";
  base::make_directories(folder);
  return folder + "/" + name;
}

template <typename Action>
Error error_of(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "no error";
  return Error(ErrorKind::kInternal, "");
}

TEST(Dictionary, BeginsWithTheSpecialSymbols) {
  const Dictionary dictionary;
  EXPECT_EQ(dictionary.size(), kNumSpecial);
  EXPECT_EQ(dictionary.index("<s>"), kBos);
  EXPECT_EQ(dictionary.index("<pad>"), kPad);
  EXPECT_EQ(dictionary.index("</s>"), kEos);
  EXPECT_EQ(dictionary.index("<unk>"), kUnk);
  EXPECT_EQ(dictionary.index("never seen"), kUnk);
}

TEST(Dictionary, BuildsAsTheReference) {
  const nlohmann::json file = golden();
  const WordCounts counts = count_lines(file["lines"]);
  for (const auto& expected : file["cases"]) {
    const Dictionary dictionary =
        Dictionary::build(counts, {expected["threshold"], expected["nwords"], expected["padding_factor"]});
    ASSERT_EQ(dictionary.size(), static_cast<int64_t>(expected["entries"].size())) << expected.dump();
    for (int64_t i = 0; i < dictionary.size(); ++i) {
      EXPECT_EQ(dictionary.symbol(i), expected["entries"][i][0]);
      EXPECT_EQ(dictionary.count(i), expected["entries"][i][1]);
    }
    const std::string path = temporary_path("dict.txt");
    dictionary.save(path);
    EXPECT_EQ(base::read_text_file(path), expected["dict_txt"]);
    EXPECT_EQ(Dictionary::load(path), dictionary);
    const auto bytes = dictionary_to_bytes(dictionary);
    const DictionaryView view = DictionaryView::open(bytes, "test");
    for (size_t i = 0; i < file["test_lines"].size(); ++i) {
      const std::string line = file["test_lines"][i];
      const std::vector<int64_t> ids = expected["encoded"][i];
      EXPECT_EQ(dictionary.encode_line(line), ids);
      EXPECT_EQ(view.encode_line(line), ids);
    }
  }
}

TEST(Dictionary, SplitsAtTheLastBlank) {
  const Dictionary dictionary = Dictionary::parse("new york 5\nx 0\r\n", "test");
  EXPECT_EQ(dictionary.index("new york"), 4);
  EXPECT_EQ(dictionary.count(4), 5);
  EXPECT_EQ(dictionary.index("x"), 5);
}

TEST(Dictionary, LetsALaterWordOverwriteWhenAsked) {
  const Dictionary dictionary = Dictionary::parse("a 5\nb 4\na 3 #fairseq:overwrite\n", "test");
  EXPECT_EQ(dictionary.size(), 7);
  EXPECT_EQ(dictionary.index("a"), 6);
  EXPECT_EQ(dictionary.symbol(4), "a");
  const auto bytes = dictionary_to_bytes(dictionary);
  EXPECT_EQ(DictionaryView::open(bytes, "test").index("a"), 6);
}

TEST(Dictionary, SavesWhatItCanLoadAgain) {
  const std::string path = ::testing::TempDir() + "dictionary_with_overwritten_words.txt";
  const std::string text = "<unk> 7 #fairseq:overwrite\na 5\na 3 #fairseq:overwrite\n";
  Dictionary::parse(text, "test").save(path);
  EXPECT_EQ(base::read_text_file(path), text);
  EXPECT_EQ(Dictionary::load(path), Dictionary::parse(text, "test"));
}

TEST(Dictionary, NamesFileAndLineOfAnError) {
  const Error duplicate = error_of([] { Dictionary::parse("a 5\nb 4\na 3\n", "some/dict.txt"); });
  EXPECT_EQ(duplicate.kind(), ErrorKind::kFormat);
  EXPECT_THAT(duplicate.what(), HasSubstr("some/dict.txt, line 3: the symbol 'a' comes a second time"));
  EXPECT_THAT(duplicate.hint(), HasSubstr("#fairseq:overwrite"));
  EXPECT_THAT(error_of([] { Dictionary::parse("a 5\nword\n", "d"); }).what(),
              HasSubstr("line 2: found 'word'"));
  EXPECT_THAT(error_of([] { Dictionary::parse("a 5x\n", "d"); }).what(), HasSubstr("found the count '5x'"));
  EXPECT_THAT(error_of([] { Dictionary::parse("a -5\n", "d"); }).what(), HasSubstr("'-5'"));
  EXPECT_THAT(error_of([] { Dictionary::parse("\xFF 5\n", "d"); }).what(), HasSubstr("not UTF-8"));
  EXPECT_THAT(error_of([] { Dictionary::parse("<pad> 5\n", "d"); }).what(),
              HasSubstr("'<pad>' comes a second time"));
  EXPECT_EQ(error_of([] { Dictionary::load("/no/such/dict.txt"); }).kind(), ErrorKind::kIo);
  EXPECT_EQ(error_of([] { Dictionary().symbol(4); }).kind(), ErrorKind::kData);
}

TEST(Dictionary, DecodesWithoutSentenceMarks) {
  const Dictionary dictionary = Dictionary::parse("hello 5\nworld 4\n! 2\n", "test");
  const std::vector<int64_t> ids = {0, 4, 3, 5, 6, 2, 1, 1};
  EXPECT_EQ(dictionary.decode(ids), "hello <unk> world !");
  EXPECT_EQ(dictionary.decode(ids, words_tokenizer()), "hello <unk> world!");
}

Dictionary sample_dictionary() {
  return Dictionary::parse("the 50\n\xC3\xA9t\xC3\xA9 7\nzebra 3\napple 3\n\xF0\x9F\x98\x80 1\n", "test");
}

TEST(DictionaryView, HoldsTheSameWords) {
  const Dictionary dictionary = sample_dictionary();
  const std::vector<std::byte> bytes = dictionary_to_bytes(dictionary);
  // One byte further: the bytes of a mapped file need no alignment.
  std::vector<std::byte> shifted(bytes.size() + 1);
  std::memcpy(shifted.data() + 1, bytes.data(), bytes.size());
  const DictionaryView view = DictionaryView::open(std::span(shifted).subspan(1), "test");
  ASSERT_EQ(view.size(), dictionary.size());
  for (int64_t i = 0; i < view.size(); ++i) {
    EXPECT_EQ(view.symbol(i), dictionary.symbol(i));
    EXPECT_EQ(view.count(i), dictionary.count(i));
    EXPECT_EQ(view.index(dictionary.symbol(i)), i);
  }
  EXPECT_EQ(view.index("missing"), kUnk);
  EXPECT_EQ(view.index(""), kUnk);
  EXPECT_EQ(Dictionary(view), dictionary);
}

TEST(DictionaryView, RefusesDamagedBytesOrStaysInBounds) {
  const std::vector<std::byte> bytes = dictionary_to_bytes(sample_dictionary());
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THROW(DictionaryView::open(std::span(bytes).first(size), "test"), Error) << size;
  }
  for (size_t i = 0; i < bytes.size(); ++i) {
    for (const int flip : {1, 0x80, 0xFF}) {
      std::vector<std::byte> damaged = bytes;
      damaged[i] ^= static_cast<std::byte>(flip);
      try {
        const DictionaryView view = DictionaryView::open(damaged, "test");
        for (int64_t w = 0; w < view.size(); ++w) view.index(view.symbol(w));
      } catch (const Error& error) {
        EXPECT_EQ(error.kind(), ErrorKind::kFormat);
      }
    }
  }
}

TEST(DictionaryView, RefusesAnUnsortedIndex) {
  std::vector<std::byte> bytes = dictionary_to_bytes(sample_dictionary());
  const size_t sorted = 24 + 9 * 8 + 10 * 4;
  std::swap(bytes[sorted], bytes[sorted + 4]);
  EXPECT_THAT(error_of([&] { DictionaryView::open(bytes, "m.qn"); }).what(),
              HasSubstr("dictionary of m.qn: the sorted index"));
}

}  // namespace
}  // namespace quantnoise::text
