#include "quantnoise/text/preprocess.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "quantnoise/base/error.h"
#include "quantnoise/base/file.h"
#include "quantnoise/base/log.h"
#include "quantnoise/base/random.h"
#include "quantnoise/text/indexed_dataset.h"

namespace quantnoise::text {
namespace {

using ::testing::HasSubstr;

class PreprocessTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::string(QN_BINARY_DIR "/test_text_preprocess_") +
              ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
    base::make_directories(folder_);
    options_.destdir = folder_ + "/data";
  }

  std::string write(const std::string& name, const std::string& text) {
    base::write_text_file(folder_ + "/" + name, text);
    return folder_ + "/" + name;
  }

  std::string output(const std::string& name) { return base::read_text_file(options_.destdir + "/" + name); }

  Error error() {
    try {
      preprocess(options_);
    } catch (const Error& error) {
      return error;
    }
    ADD_FAILURE() << "no error";
    return Error(ErrorKind::kInternal, "");
  }

  std::string folder_;
  PreprocessOptions options_;
};

TEST_F(PreprocessTest, MakesDictionaryAndSplits) {
  options_.trainpref = write("train.txt", "the cat sat\nthe dog\n\nthe end <unk>\n");
  options_.validpref = write("valid.txt", "the new cat") + "," + write("more.txt", "dog\n");
  options_.testpref = write("test.txt", "a b c d\r\nthe\n");
  const PreprocessReport report = preprocess(options_);
  EXPECT_EQ(output("dict.txt"),
            "the 3\ncat 1\ndog 1\nend 1\nsat 1\n"
            "madeupword0000 0\nmadeupword0001 0\nmadeupword0002 0\nmadeupword0003 0\n"
            "madeupword0004 0\nmadeupword0005 0\nmadeupword0006 0\n");
  EXPECT_EQ(report.dictionary_size, 16);
  ASSERT_EQ(report.splits.size(), 4u);
  EXPECT_EQ(report.splits[0].split, "train");
  EXPECT_EQ(report.splits[0].text(), folder_ + "/train.txt: 4 sents, 12 tokens, 0% replaced (by <unk>)");
  EXPECT_EQ(report.splits[1].text(), folder_ + "/valid.txt: 1 sents, 4 tokens, 25% replaced (by <unk>)");
  EXPECT_EQ(report.splits[2].split, "valid1");
  EXPECT_EQ(report.splits[3].num_replaced, 4);
  const IndexedDataset train = IndexedDataset::open(options_.destdir + "/train");
  std::vector<int64_t> ids(12);
  train.read(0, ids);
  EXPECT_THAT(ids, ::testing::ElementsAre(4, 5, 8, 2, 4, 6, 2, 2, 4, 7, 3, 2));
  EXPECT_EQ(stored_tokenizer_name(options_.destdir), "space");
}

TEST_F(PreprocessTest, GivesTheSameFilesForAnyNumberOfWorkers) {
  base::SequentialRandom random(5);
  std::string text;
  while (text.size() < (size_t{5} << 20)) {
    for (uint64_t word = random.below(20); word > 0; --word) {
      text += str_cat("w", random.below(random.below(3) == 0 ? 30000 : 300), ' ');
    }
    text += '\n';
  }
  options_.trainpref = write("train.txt", text);
  options_.thresholdsrc = 3;
  std::vector<std::string> dictionaries;
  std::vector<std::string> data;
  for (const int workers : {1, 2, 5}) {
    options_.workers = workers;
    preprocess(options_);
    dictionaries.push_back(output("dict.txt"));
    data.push_back(output("train.bin") + output("train.idx"));
  }
  EXPECT_GT(dictionaries[0].size(), 1000u);
  for (size_t i = 1; i < data.size(); ++i) {
    EXPECT_EQ(dictionaries[i], dictionaries[0]);
    EXPECT_TRUE(data[i] == data[0]);
  }
}

TEST_F(PreprocessTest, UsesAGivenDictionary) {
  options_.srcdict = write("dict.txt", "cat 5\ndog 1\n");
  options_.testpref = write("test.txt", "dog cat bird\n");
  const PreprocessReport report = preprocess(options_);
  EXPECT_EQ(output("dict.txt"), "cat 5\ndog 1\n");
  EXPECT_EQ(report.dictionary_size, 6);
  std::vector<int64_t> ids(4);
  IndexedDataset::open(options_.destdir + "/test").read(0, ids);
  EXPECT_THAT(ids, ::testing::ElementsAre(5, 4, 3, 2));
}

// A run that stops leaves the folder as it was: its dictionary and its numbers belong together.
TEST_F(PreprocessTest, WritesNothingBeforeEverythingIsRead) {
  options_.trainpref = write("train.txt", "a b a\n");
  preprocess(options_);
  const std::string dictionary = output("dict.txt"), numbers = output("train.bin");
  options_.trainpref = write("train.txt", "c d e f c\n");
  options_.progress = [](const std::string& what, uint64_t, uint64_t) {
    if (what.starts_with("binarizing")) throw Error(ErrorKind::kIo, "stopped");
  };
  EXPECT_THROW(preprocess(options_), Error);
  EXPECT_EQ(output("dict.txt"), dictionary);
  EXPECT_EQ(output("train.bin"), numbers);
}

TEST_F(PreprocessTest, RemembersTheTokenizer) {
  options_.trainpref = write("train.txt", "It's here.\nIt's there.\n");
  options_.tokenizer = "words";
  options_.padding_factor = 1;
  preprocess(options_);
  EXPECT_EQ(output("dict.txt"), "'s 2\n. 2\nIt 2\nhere 1\nthere 1\n");
  EXPECT_EQ(stored_tokenizer_name(options_.destdir), "words");
}

TEST_F(PreprocessTest, ReplacesAndReportsIllFormedUtf8) {
  options_.trainpref = write("train.txt", "good \xFF bad\xC3\n");
  const PreprocessReport report = preprocess(options_);
  EXPECT_EQ(report.splits[0].num_invalid_utf8, 2);
  EXPECT_THAT(report.splits[0].text(), HasSubstr("2 ill-formed UTF-8 sequences"));
  EXPECT_THAT(output("dict.txt"), HasSubstr("bad\uFFFD 1\n"));
}

TEST_F(PreprocessTest, WarnsOfSplitsThatKeepAnOldDictionary) {
  options_.trainpref = write("train.txt", "a b\n");
  options_.validpref = options_.trainpref;
  preprocess(options_);
  options_.validpref.clear();
  std::string warning;
  const auto former =
      base::set_log_sink([&](base::LogLevel, const std::string& message) { warning += message; });
  preprocess(options_);
  base::set_log_sink(former);
  EXPECT_THAT(warning, HasSubstr("the split 'valid' of an earlier run"));
}

TEST_F(PreprocessTest, RefusesBadInputBeforeWriting) {
  EXPECT_EQ(error().kind(), ErrorKind::kUsage);
  options_.trainpref = folder_ + "/missing.txt";
  EXPECT_EQ(error().kind(), ErrorKind::kIo);
  EXPECT_THAT(error().what(), HasSubstr("missing.txt"));
  options_.trainpref = write("empty.txt", "");
  EXPECT_THAT(error().what(), HasSubstr("empty.txt: the file is empty"));
  options_.trainpref = write("blank.txt", " \n\n");
  EXPECT_EQ(error().kind(), ErrorKind::kData);
  EXPECT_THAT(error().what(), HasSubstr("no words for a dictionary"));
  options_.trainpref = write("train.txt.gz", "\x1F\x8B\x08 compressed");
  EXPECT_EQ(error().kind(), ErrorKind::kData);
  EXPECT_THAT(error().what(), HasSubstr("expected lines of text"));
  options_.trainpref = write("train.txt", "a\n");
  options_.workers = 0;
  EXPECT_EQ(error().kind(), ErrorKind::kUsage);
  options_.workers = 1;
  options_.only_source = false;
  EXPECT_EQ(error().kind(), ErrorKind::kUnsupported);
  EXPECT_FALSE(std::filesystem::exists(options_.destdir));
}

TEST_F(PreprocessTest, CountsWordsAndLines) {
  const WordCounts counts = count_words(write("a.txt", "x y x\r\nlast\rline"), space_tokenizer(), 2);
  EXPECT_EQ(counts.at("x"), 2);
  EXPECT_EQ(counts.at("</s>"), 3);
}

}  // namespace
}  // namespace quantnoise::text
