#include "quantnoise/base/file_kind.h"

#include <gtest/gtest.h>

#include <string>

#include "quantnoise/base/file.h"
#include "temporary_folder.h"

namespace quantnoise::base {
namespace {

using namespace std::string_literals;

struct Sample {
  const char* label;
  std::string bytes;
  FileKind kind;
};

class FileKindTest : public ::testing::TestWithParam<Sample> {};

TEST_P(FileKindTest, IsRecognized) {
  const std::string& bytes = GetParam().bytes;
  EXPECT_EQ(recognize_bytes(std::as_bytes(std::span(bytes.data(), bytes.size()))), GetParam().kind);
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, FileKindTest,
    ::testing::Values(
        Sample{"empty", "", FileKind::kEmpty}, Sample{"text", "hello", FileKind::kUnknown},
        Sample{"zip", "PK\x03\x04\x14", FileKind::kPyTorchZip},
        Sample{"pickle", "\x80\x02}q"s, FileKind::kPickle},
        Sample{"git_lfs", "version https://git-lfs.github.com/spec/v1\n", FileKind::kGitLfsPointer},
        Sample{"gguf", "GGUF\x03\0\0\0"s, FileKind::kGguf},
        Sample{"hdf5", "\x89HDF\r\n\x1a\n", FileKind::kHdf5},
        Sample{"numpy", "\x93NUMPY\x01", FileKind::kNumpy},
        Sample{"html", "\n <!DOCTYPE html><html>", FileKind::kHtml},
        Sample{"html_without_type", "<HTML>", FileKind::kHtml},
        Sample{"xml", "<?xml version='1.0'?>", FileKind::kUnknown},
        Sample{"gzip", "\x1f\x8b\x08", FileKind::kGzip}, Sample{"zstd", "\x28\xb5\x2f\xfd", FileKind::kZstd},
        Sample{"xz", "\xfd\x37zXZ\0"s, FileKind::kXz}, Sample{"elf", "\x7f\x45LF", FileKind::kElf},
        Sample{"fairseq", "MMIDIDX\0\0\1"s, FileKind::kFairseqIndex},
        Sample{"safetensors", "\x10\0\0\0\0\0\0\0{\"a\":{"s, FileKind::kSafetensors},
        Sample{"length_like_gzip", "\x1f\x8b\0\0\0\0\0\0{\"a\":{"s, FileKind::kSafetensors},
        Sample{"length_too_large", "\x10\0\0\0\0\1\0\0{\"a\":{"s, FileKind::kUnknown}),
    [](const auto& info) { return std::string(info.param.label); });

TEST(FileKind, DescribesAFile) {
  const test::TemporaryFolder folder;
  write_text_file(folder.file("model.pt"), "PK\x03\x04rest");
  EXPECT_EQ(describe_file(folder.file("model.pt")), "a PyTorch zip checkpoint");
  EXPECT_NE(hint_for(FileKind::kGitLfsPointer).find("git lfs pull"), std::string::npos);
}

}  // namespace
}  // namespace quantnoise::base
