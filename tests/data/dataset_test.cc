#include "quantnoise/data/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "quantnoise/base/error.h"
#include "quantnoise/base/file.h"
#include "quantnoise/text/preprocess.h"

namespace quantnoise::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Numbers = std::vector<int64_t>;

Numbers row(const torch::Tensor& matrix, int64_t i) {
  const torch::Tensor values = matrix[i].contiguous();
  return {values.const_data_ptr<int64_t>(), values.const_data_ptr<int64_t>() + values.numel()};
}

std::shared_ptr<const TokenStream> small_stream() {
  return std::make_shared<const TokenStream>(
      TokenStream::from_sentences({{10, 11, 12, 2}, {13, 2}, {14, 15, 16, 17, 2}}));
}

LanguageModelOptions options_of(int64_t tokens_per_sample, BreakMode mode = BreakMode::kNone) {
  LanguageModelOptions options;
  options.tokens_per_sample = tokens_per_sample;
  options.sample_break_mode = mode;
  return options;
}

TEST(LanguageModelDataset, PadsOnTheRight) {
  const LanguageModelDataset dataset(small_stream(), options_of(4));
  EXPECT_THAT(dataset.sizes(), ElementsAre(4, 4, 3));
  const Batch batch = dataset.collate(Numbers{2, 0});
  EXPECT_EQ(batch.tokens.dtype(), torch::kInt64);
  EXPECT_THAT(row(batch.tokens, 0), ElementsAre(15, 16, 17, 1));
  EXPECT_THAT(row(batch.target, 0), ElementsAre(16, 17, 2, 1));
  EXPECT_THAT(row(batch.tokens, 1), ElementsAre(2, 10, 11, 12));
  EXPECT_THAT(row(batch.target, 1), ElementsAre(10, 11, 12, 2));
  EXPECT_THAT(batch.lengths, ElementsAre(3, 4));
  EXPECT_THAT(batch.start_indices, ElementsAre(0, 0));
  EXPECT_THAT(batch.ids, ElementsAre(2, 0));
  EXPECT_EQ(batch.num_tokens, 7);
  EXPECT_EQ(batch.num_sentences, 2);
  EXPECT_TRUE(dataset.collate({}).empty());
}

TEST(LanguageModelDataset, LimitsTheOutputDictionary) {
  LanguageModelOptions options = options_of(4);
  options.output_dictionary_size = 12;
  const LanguageModelDataset dataset(small_stream(), options);
  const Batch batch = dataset.collate(Numbers{0});
  EXPECT_THAT(row(batch.tokens, 0), ElementsAre(2, 10, 11, 12));
  EXPECT_THAT(row(batch.target, 0), ElementsAre(10, 11, 3, 2));
}

TEST(ContextWindowDataset, PutsTheContextBeforeTheSample) {
  const auto dataset = std::make_shared<const LanguageModelDataset>(small_stream(), options_of(4));
  const ContextWindowDataset with_context(dataset, 4, 3);
  const Batch batch = with_context.collate(Numbers{2, 0});
  EXPECT_THAT(row(batch.tokens, 0), ElementsAre(13, 2, 14, 15, 16, 17));
  EXPECT_THAT(row(batch.target, 0), ElementsAre(1, 1, 1, 16, 17, 2));
  EXPECT_THAT(row(batch.tokens, 1), ElementsAre(2, 10, 11, 12, 1, 1));
  EXPECT_THAT(row(batch.target, 1), ElementsAre(10, 11, 12, 2, 1, 1));
  EXPECT_THAT(batch.start_indices, ElementsAre(3, 0));
  EXPECT_THAT(batch.lengths, ElementsAre(6, 4));
  EXPECT_EQ(batch.num_tokens, 7);
  EXPECT_THROW(ContextWindowDataset(dataset, 0, 3), Error);
  EXPECT_THROW(ContextWindowDataset(dataset, 4, -1), Error);
}

class LanguageModelDataTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::string(QN_BINARY_DIR "/test_data_folder_") +
              ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder_);
    base::make_directories(folder_);
    base::write_text_file(folder_ + "/dict.txt", "a 5\nb 4\nc 3\n");
  }

  void write_split(const std::string& name, const std::vector<Numbers>& sentences) {
    text::IndexedDatasetWriter writer(folder_ + "/" + name, text::TokenType::kUint16);
    for (const Numbers& sentence : sentences) writer.add(sentence);
    writer.finish();
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

  std::string folder_;
};

TEST_F(LanguageModelDataTest, OpensAFolder) {
  write_split("train", {{4, 5, 2}, {6, 2}});
  write_split("train1", {{5, 5, 5, 2}});
  write_split("valid", {{4, 2}});
  const LanguageModelData data = LanguageModelData::open(folder_);
  EXPECT_EQ(data.dictionary()->size(), 7);
  EXPECT_EQ(data.tokenizer_name(), "space");
  EXPECT_THAT(data.splits(), ElementsAre("train", "train1", "valid"));
  EXPECT_EQ(data.stream("train")->num_tokens(), 5);
  EXPECT_EQ(data.stream("train", true)->num_tokens(), 9);
  EXPECT_EQ(data.split("train", options_of(2))->size(), 3);
  EXPECT_EQ(data.split("train", options_of(2, BreakMode::kEos))->size(), 2);
}

TEST_F(LanguageModelDataTest, OpensWhatPreprocessWrites) {
  base::write_text_file(folder_ + "/text", "It's a test.\nA second line.\n");
  text::PreprocessOptions options;
  options.trainpref = folder_ + "/text";
  options.destdir = folder_ + "/out";
  options.tokenizer = "words";
  preprocess(options);
  const LanguageModelData data = LanguageModelData::open(options.destdir);
  EXPECT_EQ(data.tokenizer_name(), "words");
  const auto dataset = data.split("train", options_of(100));
  const Batch batch = dataset->collate(Numbers{0});
  EXPECT_EQ(data.dictionary()->decode(row(batch.target, 0), text::find_tokenizer(data.tokenizer_name())),
            "It's a test. A second line.");
}

TEST_F(LanguageModelDataTest, ExplainsWhatIsWrong) {
  write_split("train", {{4, 5, 2}});
  write_split("valid", {});
  write_split("bad", {{4, 7, 2}});
  const LanguageModelData data = LanguageModelData::open(folder_);
  const Error missing = error_of([&] { data.stream("test"); });
  EXPECT_EQ(missing.kind(), ErrorKind::kData);
  EXPECT_THAT(missing.what(), HasSubstr("no split 'test'"));
  EXPECT_THAT(missing.what(), HasSubstr("found bad, train, valid"));
  EXPECT_THAT(error_of([&] { data.stream("valid"); }).what(), HasSubstr("is empty"));
  const Error outside = error_of([&] { data.stream("bad"); });
  EXPECT_EQ(outside.kind(), ErrorKind::kData);
  EXPECT_THAT(outside.what(), HasSubstr("found the token number 7, expected 0 to 6"));
  EXPECT_EQ(error_of([&] { data.split("train", options_of(0)); }).kind(), ErrorKind::kConfig);
  EXPECT_EQ(error_of([&] { LanguageModelData::open(folder_ + "/nowhere"); }).kind(), ErrorKind::kIo);
  std::filesystem::remove(folder_ + "/dict.txt");
  EXPECT_THAT(error_of([&] { LanguageModelData::open(folder_); }).what(), HasSubstr("dict.txt"));
}

}  // namespace
}  // namespace quantnoise::data
