#include "quantnoise/text/token_blocks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "quantnoise/base/error.h"
#include "quantnoise/base/file.h"

namespace quantnoise::text {
namespace {

using Sentences = std::vector<std::vector<int64_t>>;

nlohmann::json golden() {
  return nlohmann::json::parse(base::read_text_file(QN_SOURCE_DIR "/tests/golden/data/token_blocks.json"));
}

std::shared_ptr<const TokenStream> stream_of(const Sentences& sentences) {
  return std::make_shared<const TokenStream>(TokenStream::from_sentences(sentences));
}

TEST(TokenBlocks, AreCutAsTheReferenceDoes) {
  const nlohmann::json file = golden();
  for (const auto& expected : file["cases"]) {
    const std::string mode = expected["mode"];
    const TokenBlockDataset dataset(stream_of(expected["sentences"]), parse_break_mode(mode),
                                    expected["block_size"]);
    ASSERT_EQ(dataset.size(), static_cast<int64_t>(expected["targets"].size())) << expected.dump();
    for (int64_t i = 0; i < dataset.size(); ++i) {
      std::vector<int64_t> tokens(static_cast<size_t>(dataset.block_size(i)));
      dataset.read_target(i, tokens);
      EXPECT_EQ(tokens, expected["targets"][i]);
      dataset.read_source(i, tokens);
      EXPECT_EQ(tokens, expected["sources"][i]);
    }
  }
}

TEST(TokenBlocks, CrossFilesAsOneStream) {
  const std::string folder = QN_BINARY_DIR "/test_data_stream";
  base::make_directories(folder);
  Sentences all;
  std::vector<IndexedDataset> parts;
  for (int part = 0; part < 4; ++part) {
    IndexedDatasetWriter writer(str_cat(folder, "/p", part), TokenType::kUint16);
    for (int sentence = 0; sentence < part; ++sentence) {  // the first part is empty
      all.push_back({10 * part + 4, 10 * part + sentence + 5, 2});
      writer.add(all.back());
    }
    writer.finish();
    parts.push_back(IndexedDataset::open(str_cat(folder, "/p", part)));
  }
  const TokenStream stream(std::move(parts));
  const TokenStream expected = TokenStream::from_sentences(all);
  ASSERT_EQ(stream.num_tokens(), 18);
  EXPECT_EQ(stream.sentence_sizes(), expected.sentence_sizes());
  for (int64_t begin = 0; begin <= 18; ++begin) {
    for (int64_t end = begin; end <= 18; ++end) {
      std::vector<int64_t> a(static_cast<size_t>(end - begin));
      std::vector<int64_t> b(a.size());
      stream.read(begin, a);
      expected.read(begin, b);
      EXPECT_EQ(a, b);
    }
  }
}

TEST(TokenBlocks, CopeWithEmptySentences) {
  const std::vector<int32_t> sizes = {0, 3, 0, 0, 2, 0};
  EXPECT_EQ(cut_blocks(sizes, BreakMode::kEos, 0).size(), 2u);
  EXPECT_EQ(cut_blocks(sizes, BreakMode::kComplete, 4).size(), 2u);
  const auto blocks = cut_blocks(sizes, BreakMode::kNone, 3);
  ASSERT_EQ(blocks.size(), 2u);
  EXPECT_TRUE(blocks[1].at_sentence_start);
  EXPECT_TRUE(cut_blocks({}, BreakMode::kNone, 3).empty());
}

TEST(TokenBlocks, RefuseBadOptions) {
  EXPECT_THROW(cut_blocks({}, BreakMode::kNone, 0), Error);
  EXPECT_THROW(cut_blocks({}, BreakMode::kComplete, int64_t{1} << 31), Error);
  try {
    parse_break_mode("sentences");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kConfig);
    EXPECT_THAT(error.what(), ::testing::HasSubstr("none, complete, complete_doc, eos"));
  }
  for (const char* name : {"none", "complete", "complete_doc", "eos"})
    EXPECT_EQ(break_mode_name(parse_break_mode(name)), name);
}

TEST(ContextWindow, EqualsTheReferencesRunningState) {
  const nlohmann::json file = golden();
  for (const auto& expected : file["cases"]) {
    const int64_t block_size = expected["block_size"];
    const TokenBlockDataset blocks(stream_of(expected["sentences"]),
                                   parse_break_mode(expected["mode"].get<std::string>()), block_size);
    for (const auto& window : expected["windows"]) {
      // Backwards: nothing depends on the order.
      for (int64_t i = blocks.size() - 1; i >= 0; --i) {
        const std::vector<int64_t> context = window["contexts"][i];
        EXPECT_EQ(context_before(blocks, i, block_size, window["window"]), context);
      }
    }
  }
}

}  // namespace
}  // namespace quantnoise::text
