#include "quantnoise/text/indexed_dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "quantnoise/base/error.h"
#include "quantnoise/base/file.h"

namespace quantnoise::text {
namespace {

using ::testing::HasSubstr;
using Sentences = std::vector<std::vector<int64_t>>;

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2)
    bytes += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
  return bytes;
}

Sentences read_all(const IndexedDataset& dataset) {
  Sentences sentences;
  int64_t begin = 0;
  for (int64_t i = 0; i < dataset.num_sentences(); ++i) {
    std::vector<int64_t> sentence(static_cast<size_t>(dataset.sentence_size(i)));
    dataset.read(begin, sentence);
    begin += static_cast<int64_t>(sentence.size());
    sentences.push_back(sentence);
  }
  return sentences;
}

class IndexedDatasetTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::string folder = std::string(QN_BINARY_DIR "/test_text_indexed_") +
                               ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(folder);
    base::make_directories(folder);
    prefix_ = folder + "/train";
  }

  void write_files(const std::string& data, const std::string& index) {
    base::write_text_file(prefix_ + ".bin", data);
    base::write_text_file(prefix_ + ".idx", index);
  }

  // Message of the error that open() gives.
  std::string open_error() {
    try {
      IndexedDataset::open(prefix_);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::kFormat);
      return error.what();
    }
    ADD_FAILURE() << "no error";
    return "";
  }

  void write_small() {
    IndexedDatasetWriter writer(prefix_, TokenType::kUint16);
    writer.add(std::vector<int64_t>{5, 6, 2});
    writer.add(std::vector<int64_t>{7, 2});
    writer.finish();
    data_ = base::read_text_file(prefix_ + ".bin");
    index_ = base::read_text_file(prefix_ + ".idx");
  }

  std::string prefix_;
  std::string data_;
  std::string index_;
};

TEST_F(IndexedDatasetTest, ReadsAndWritesTheReferencesBytes) {
  const auto golden =
      nlohmann::json::parse(base::read_text_file(QN_SOURCE_DIR "/tests/golden/data/indexed_dataset.json"));
  for (const auto& expected : golden["cases"]) {
    const std::string data = from_hex(expected["bin"]);
    const std::string index = from_hex(expected["idx"]);
    const Sentences sentences = expected["sentences"];
    write_files(data, index);
    const IndexedDataset dataset = IndexedDataset::open(prefix_);
    EXPECT_EQ(static_cast<int>(dataset.type()), expected["code"]);
    EXPECT_EQ(read_all(dataset), sentences);
    int64_t largest = 0;
    for (const auto& sentence : sentences)
      largest = std::max(largest, *std::max_element(sentence.begin(), sentence.end()));
    EXPECT_EQ(dataset.token_range(), std::make_pair(int64_t{2}, largest));
    if (expected["kind"] != "mmap") continue;
    IndexedDatasetWriter writer(prefix_, static_cast<TokenType>(expected["code"].get<int>()));
    for (const auto& sentence : sentences) writer.add(sentence);
    writer.finish();
    EXPECT_EQ(base::read_text_file(prefix_ + ".bin"), data);
    EXPECT_EQ(base::read_text_file(prefix_ + ".idx"), index);
  }
}

TEST_F(IndexedDatasetTest, ChoosesTheElementTypeAsTheReference) {
  EXPECT_EQ(token_type_for(65499), TokenType::kUint16);
  EXPECT_EQ(token_type_for(65500), TokenType::kInt32);
}

TEST_F(IndexedDatasetTest, KeepsAnEmptyFile) {
  IndexedDatasetWriter(prefix_, TokenType::kInt32).finish();
  const IndexedDataset dataset = IndexedDataset::open(prefix_);
  EXPECT_EQ(dataset.num_sentences(), 0);
  EXPECT_EQ(dataset.token_range(), std::make_pair(int64_t{0}, int64_t{-1}));
}

TEST_F(IndexedDatasetTest, WritesNothingUnlessFinished) {
  write_small();
  {
    IndexedDatasetWriter writer(prefix_, TokenType::kUint16);
    writer.add(std::vector<int64_t>{9, 2});
    EXPECT_THROW(writer.add(std::vector<int64_t>{65536}), Error);
    EXPECT_THROW(writer.add(std::vector<int64_t>{-1}), Error);
  }
  EXPECT_EQ(base::read_text_file(prefix_ + ".bin"), data_);
  EXPECT_EQ(base::read_text_file(prefix_ + ".idx"), index_);
  EXPECT_EQ(
      std::distance(std::filesystem::directory_iterator(std::filesystem::path(prefix_).parent_path()), {}),
      2);
}

TEST_F(IndexedDatasetTest, RefusesEveryTruncation) {
  write_small();
  for (size_t size = 0; size < index_.size(); ++size) {
    write_files(data_, index_.substr(0, size));
    EXPECT_THAT(open_error(), HasSubstr("train.idx"));
  }
  for (size_t size = 0; size < data_.size(); ++size) {
    write_files(data_.substr(0, size), index_);
    EXPECT_THAT(open_error(), HasSubstr("train.bin: found "));
  }
  write_files(data_ + "x", index_);
  EXPECT_THAT(open_error(), HasSubstr("found 11 bytes, expected 10 for the 5 tokens of "));
}

TEST_F(IndexedDatasetTest, RefusesDamageInEveryByteOfTheIndex) {
  write_small();
  for (size_t i = 0; i < index_.size(); ++i) {
    std::string damaged = index_;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x55);
    write_files(data_, damaged);
    EXPECT_THAT(open_error(), HasSubstr("train.idx")) << i;
  }
}

TEST_F(IndexedDatasetTest, SaysWhatAForeignFileIs) {
  write_files("", std::string("PK\x03\x04", 4) + std::string(100, 'x'));
  EXPECT_THAT(open_error(), HasSubstr("expected the index of fairseq's binarized data"));
  write_small();
  index_[17] = 6;
  write_files(data_, index_);
  EXPECT_THAT(open_error(), HasSubstr("element type 6 (floating point)"));
}

TEST_F(IndexedDatasetTest, NamesAMissingFile) {
  EXPECT_FALSE(IndexedDataset::exists(prefix_));
  try {
    IndexedDataset::open(prefix_);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kIo);
    EXPECT_THAT(error.what(), HasSubstr("train.idx"));
  }
}

}  // namespace
}  // namespace quantnoise::text
