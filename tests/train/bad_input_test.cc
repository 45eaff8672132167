#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>

#include "quantnoise/base/error.h"
#include "quantnoise/base/file.h"
#include "quantnoise/text/indexed_dataset.h"
#include "quantnoise/text/preprocess.h"
#include "run_fixture.h"

namespace quantnoise::test {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

std::string kind(ErrorKind kind) { return std::to_string(static_cast<int>(kind)) + ": "; }

class BadInput : public RunFixture {};

TEST_F(BadInput, Options) {
  EXPECT_THAT(error_of("x", {{"criterion", "adaptive_los"}}),
              AllOf(StartsWith(kind(ErrorKind::kConfig)), HasSubstr("adaptive_los")));
  EXPECT_THAT(error_of("x", {{"arch", "transformer_ml"}}), HasSubstr("transformer_ml"));
  EXPECT_THAT(error_of("x", {{"optimiser", "adam"}}), HasSubstr("--optimizer"));
  EXPECT_THAT(error_of("x", {{"dropout", "1.5"}}), StartsWith(kind(ErrorKind::kConfig)));
  EXPECT_THAT(error_of("x", {{"max-tokens", "8x"}}), StartsWith(kind(ErrorKind::kConfig)));
  EXPECT_THAT(error_of("x", {{"max-tokens", "(unset)"}}), HasSubstr("--max-tokens or --batch-size"));
  EXPECT_THAT(error_of("x", {{"device", "cuda"}}), StartsWith(kind(ErrorKind::kUnsupported)));
  EXPECT_THAT(error_of("x", {{"lr", "0.1,0.2"}, {"lr-scheduler", "cosine"}}),
              HasSubstr("--lr-scheduler fixed"));
  EXPECT_THAT(error_of("x", {{"adam-betas", "(0.9)"}}), HasSubstr("--adam-betas"));
  EXPECT_THAT(error_of("x", {{"quant-noise-pq", "0.1"}, {"quant-noise-pq-block-size", "5"}}),
              AllOf(StartsWith(kind(ErrorKind::kConfig)), HasSubstr("decoder.")));
  EXPECT_THAT(error_of("x", {{"quant-noise-pq", "1"}}), StartsWith(kind(ErrorKind::kConfig)));
  EXPECT_THAT(error_of("x", {{"quant-noise-include", "encoder.*"}}), HasSubstr("matches no layer"));
  EXPECT_THAT(error_of("x", {{"quant-noise-exclude", "(["}}), HasSubstr("not a regular expression"));
  EXPECT_FALSE(std::filesystem::exists(path("x")));
}

TEST_F(BadInput, Data) {
  EXPECT_THAT(error_of("x", {{"data", path("nowhere")}}), HasSubstr("nowhere"));
  EXPECT_THAT(error_of("x", {{"data", ""}}), StartsWith(kind(ErrorKind::kUsage)));
  EXPECT_THAT(error_of("x", {{"valid-subset", "test"}}),
              AllOf(StartsWith(kind(ErrorKind::kData)), HasSubstr("test")));
  for (const char* ending : {".bin", ".idx"})
    std::filesystem::copy(data() + "/valid" + ending, data() + "/empty" + ending);
  text::IndexedDatasetWriter writer(data() + "/empty", text::TokenType::kUint16);
  writer.finish();
  EXPECT_THAT(error_of("x", {{"train-subset", "empty"}}),
              AllOf(StartsWith(kind(ErrorKind::kData)), HasSubstr("empty")));
}

TEST_F(BadInput, RestoreFile) {
  train("run", {{"max-update", "3"}});
  const std::string checkpoint = path("run/checkpoint_last.qn");
  EXPECT_THAT(
      error_of("x", {{"restore-file", path("run/checkpoint_lost.qn")}}),
      AllOf(StartsWith(kind(ErrorKind::kIo)), HasSubstr("checkpoint_lost.qn"), HasSubstr("no such file")));

  const std::string bytes = base::read_text_file(checkpoint);
  base::write_text_file(path("short.qn"), bytes.substr(0, bytes.size() - 100));
  EXPECT_THAT(error_of("x", {{"restore-file", path("short.qn")}}),
              AllOf(StartsWith(kind(ErrorKind::kFormat)), HasSubstr("short.qn")));
  base::write_text_file(path("foreign.pt"), std::string("PK\x03\x04") + bytes);
  EXPECT_THAT(error_of("x", {{"restore-file", path("foreign.pt")}}),
              AllOf(StartsWith(kind(ErrorKind::kFormat)), HasSubstr("foreign.pt")));

  EXPECT_THAT(error_of("x", {{"restore-file", checkpoint}, {"decoder-layers", "3"}}),
              AllOf(StartsWith(kind(ErrorKind::kConfig)), HasSubstr("--decoder-layers 3"),
                    HasSubstr("decoder_layers = 2")));
  EXPECT_THAT(
      error_of("x", {{"restore-file", checkpoint}, {"optimizer", "nag"}}),
      AllOf(HasSubstr("--optimizer adamw"), HasSubstr("--optimizer nag"), HasSubstr("--reset-optimizer")));
  EXPECT_THAT(error_of("x", {{"restore-file", checkpoint}, {"max-tokens", "64"}}),
              HasSubstr("--reset-dataloader"));
  EXPECT_THAT(error_of("x", {{"restore-file", checkpoint}, {"finetune-from-model", checkpoint}}),
              HasSubstr("cannot be given together"));
  EXPECT_TRUE(bytes == base::read_text_file(checkpoint));
}

TEST_F(BadInput, DictionaryThatDoesNotFit) {
  train("run", {{"max-update", "2"}});
  text::PreprocessOptions options;
  base::write_text_file(path("other.txt"), "some quite other words\nand some more words\n");
  options.trainpref = options.validpref = path("other.txt");
  options.destdir = path("other");
  text::preprocess(options);
  EXPECT_THAT(error_of("x", {{"data", path("other")}, {"restore-file", path("run/model.qn")}}),
              AllOf(StartsWith(kind(ErrorKind::kData)), HasSubstr("dictionary")));
}

TEST_F(BadInput, LossThatIsNotFiniteNamesTheLayerAndLeavesTheCheckpoint) {
  const Options saved = {{"max-update", "3"}, {"optimizer", "sgd"}, {"lr", "0.1"}};
  train("run", saved);
  const std::string before = base::read_text_file(path("run/checkpoint_last.qn"));
  Options exploding = saved;
  exploding["max-update"] = "20";
  exploding["lr"] = "1e30";
  exploding["clip-norm"] = "0";
  const std::string error = error_of("run", exploding);
  EXPECT_THAT(error, AllOf(StartsWith(kind(ErrorKind::kNumeric)), HasSubstr("decoder."), HasSubstr("--lr")));
  EXPECT_TRUE(before == base::read_text_file(path("run/checkpoint_last.qn")));
}

/// Files of this process cannot grow beyond the limit: what a full disk looks like.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    former_action_ = std::signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &former_);
    const rlimit limit = {bytes, former_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &former_);
    std::signal(SIGXFSZ, former_action_);
  }

 private:
  rlimit former_{};
  void (*former_action_)(int) = nullptr;
};

TEST_F(BadInput, FullDiskLeavesTheFormerCheckpoint) {
  const Options options = {{"max-update", "3"}};
  train("run", options);
  const std::string before = base::read_text_file(path("run/checkpoint_last.qn"));
  std::string error;
  {
    const FileSizeLimit limit(20000);
    error = error_of("run", {{"max-update", "6"}});
  }
  EXPECT_THAT(error, AllOf(StartsWith(kind(ErrorKind::kIo)), HasSubstr("checkpoint_")));
  EXPECT_TRUE(before == base::read_text_file(path("run/checkpoint_last.qn")));
  for (const auto& entry : std::filesystem::directory_iterator(path("run"))) {
    EXPECT_EQ(entry.path().extension(), ".qn") << entry.path();
  }
  EXPECT_EQ(train("run", {{"max-update", "6"}}).exit_code, 0);
}

}  // namespace
}  // namespace quantnoise::test
