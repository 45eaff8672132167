// The core wing links no torch: looked up in what was built, not in what was written.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstdio>
#include <filesystem>
#include <regex>
#include <string>
#include <vector>

#include "source_tree.h"

namespace quantnoise::arch {
namespace {

namespace fs = std::filesystem;

// Standard output of a shell command; the test fails when the command does.
std::string output_of(const std::string& command) {
  FILE* pipe = popen(command.c_str(), "r");
  if (pipe == nullptr) return "";
  std::string output;
  std::array<char, 4096> buffer;
  for (size_t count = 0; (count = fread(buffer.data(), 1, buffer.size(), pipe)) > 0;)
    output.append(buffer.data(), count);
  EXPECT_EQ(pclose(pipe), 0) << command;
  return output;
}

std::vector<fs::path> core_archives() {
  std::vector<fs::path> archives;
  for (const auto& item : fs::directory_iterator(fs::path(QN_BINARY_DIR) / "src" / "core")) {
    if (item.path().extension() == ".a") archives.push_back(item.path());
  }
  return archives;
}

bool names_torch(const std::string& line) {
  static const std::regex torch(R"(\b(torch|at|c10|caffe2)::|\blib(torch|c10))");
  return std::regex_search(line, torch);
}

TEST(LinkageTest, TorchIsRecognized) {
  EXPECT_TRUE(names_torch("                 U at::Tensor::add()"));
  EXPECT_TRUE(names_torch("\tlibc10.so => /usr/lib/libc10.so"));
  EXPECT_FALSE(names_torch("                 U std::vector<int>::at(unsigned long)"));
}

TEST(LinkageTest, CoreArchivesNeedNoTorch) {
  const auto archives = core_archives();
  ASSERT_FALSE(archives.empty());
  for (const fs::path& archive : archives) {
    std::istringstream symbols(output_of("nm -C --undefined-only '" + archive.string() + "' 2>&1"));
    for (std::string line; std::getline(symbols, line);)
      EXPECT_FALSE(names_torch(line)) << archive << ": " << line;
  }
}

TEST(LinkageTest, ProgramsOfTheCoreWingLoadNoTorch) {
  const fs::path programs = fs::path(QN_BINARY_DIR) / "bin";
  for (const char* name : {"qn-run", "test_base", "test_codec", "test_pack", "test_text", "test_config"}) {
    if (!fs::exists(programs / name)) continue;
    EXPECT_FALSE(names_torch(output_of("ldd '" + (programs / name).string() + "'"))) << name;
  }
}

TEST(LinkageTest, TheRunnerLoadsTheSystemsLibrariesAlone) {
  const fs::path runner = fs::path(QN_BINARY_DIR) / "bin" / "qn-run";
  if (!fs::exists(runner)) GTEST_SKIP() << "qn-run is not built";
  static const std::regex known(
      R"(^\s*(linux-vdso|/lib64/ld-linux|/lib/ld-linux|libc\.|libm\.|libstdc\+\+\.|libgcc_s\.|libpthread\.|libasan\.|libubsan\.|libtsan\.|libdl\.|librt\.))");
  std::istringstream libraries(output_of("ldd '" + runner.string() + "'"));
  int count = 0;
  for (std::string line; std::getline(libraries, line); ++count)
    EXPECT_TRUE(std::regex_search(line, known)) << line;
  EXPECT_GT(count, 2);
}

TEST(LinkageTest, TheRunnerStaysWithinOneMebibyte) {
  const fs::path runner = fs::path(QN_BINARY_DIR) / "bin" / "qn-run";
  if (!QN_IS_RELEASE || !fs::exists(runner)) GTEST_SKIP() << "qn-run is not built as it ships";
  const fs::path stripped = fs::path(testing::TempDir()) / "quantnoise_stripped_runner";
  output_of("strip -o '" + stripped.string() + "' '" + runner.string() + "'");
  EXPECT_LE(fs::file_size(stripped), 1024u * 1024u)
      << "what grew: nm -S -C --size-sort " << runner << "; see docs/architecture.md, 'What ships is small'";
  fs::remove(stripped);
}

}  // namespace
}  // namespace quantnoise::arch
