#include "quantnoise/base/file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <stdexcept>

#include "quantnoise/base/error.h"
#include "temporary_folder.h"

namespace quantnoise::base {
namespace {

using test::TemporaryFolder;

std::string message_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kIo);
    return error.what();
  }
  return "";
}

TEST(AtomicFile, WritesAndReplaces) {
  const TemporaryFolder folder;
  const std::string path = folder.file("model.qn");
  write_text_file(path, "first");
  EXPECT_EQ(read_text_file(path), "first");
  {
    AtomicFile file(path);
    file.write("sec");
    file.write("ond");
    EXPECT_EQ(file.size(), 6u);
    EXPECT_EQ(read_text_file(path), "first") << "nothing may be seen before the commit";
    file.commit();
  }
  EXPECT_EQ(read_text_file(path), "second");
  EXPECT_EQ(folder.count(), 1);
}

TEST(AtomicFile, AnExceptionKeepsTheOldFile) {
  const TemporaryFolder folder;
  const std::string path = folder.file("model.qn");
  write_text_file(path, "old");
  try {
    AtomicFile file(path);
    file.write(std::string(5 << 20, 'x'));
    throw std::runtime_error("half way");
  } catch (const std::runtime_error&) {
  }
  EXPECT_EQ(read_text_file(path), "old");
  EXPECT_EQ(folder.count(), 1) << "the temporary file must be gone";
}

/// Letters of which every 977th differs.
std::string large_text(size_t size) {
  std::string text(size, 'a');
  for (size_t i = 0; i < size; i += 977) text[i] = static_cast<char>('a' + i % 26);
  return text;
}

TEST(AtomicFile, LargeContent) {
  const TemporaryFolder folder;
  const std::string path = folder.file("large");
  const std::string text = large_text(3'500'001);
  AtomicFile file(path);
  for (size_t begin = 0; begin < text.size(); begin += 100'000) file.write(text.substr(begin, 100'000));
  EXPECT_EQ(file.size(), text.size());
  file.commit();
  EXPECT_EQ(read_text_file(path), text);
}

TEST(AtomicFile, OneWriteOfSeveralPieces) {
  const TemporaryFolder folder;
  const std::string path = folder.file("large");
  const std::string text = large_text(9'000'001);
  AtomicFile file(path);
  file.write(text.substr(0, 11));
  file.write(text.substr(11));
  file.commit();
  EXPECT_EQ(read_text_file(path), text);
}

// A limit on file sizes fails a write in the middle as a full disk does.
TEST(AtomicFile, AFailingWriteKeepsTheOldFile) {
  const TemporaryFolder folder;
  const std::string path = folder.file("model.qn");
  write_text_file(path, "old");
  rlimit former{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &former), 0);
  const auto former_handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{1 << 20, former.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  AtomicFile file(path);
  const std::string message = message_of([&] { file.write(std::string(4 << 20, 'x')); });
  ::setrlimit(RLIMIT_FSIZE, &former);
  std::signal(SIGXFSZ, former_handler);
  EXPECT_NE(message.find("cannot write " + path), std::string::npos) << message;
  EXPECT_NE(message_of([&] { file.commit(); }), "") << "what was written is not whole";
  EXPECT_EQ(read_text_file(path), "old");
  EXPECT_EQ(folder.count(), 1);
}

TEST(AtomicFile, APipeIsWrittenToAndStays) {
  const TemporaryFolder folder;
  const std::string path = folder.file("pipe");
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_NE(message_of([&] { MappedFile::open(path); }).find("not a regular file"), std::string::npos);
  const int reader = ::open(path.c_str(), O_RDONLY | O_NONBLOCK);
  write_text_file(path, "text");
  char read[8] = {};
  EXPECT_EQ(::read(reader, read, sizeof(read)), 4);
  EXPECT_STREQ(read, "text");
  ::close(reader);
  EXPECT_TRUE(std::filesystem::is_fifo(path));
  EXPECT_EQ(folder.count(), 1);
}

TEST(AtomicFile, MissingFolder) {
  const TemporaryFolder folder;
  const std::string message = message_of([&] { AtomicFile file(folder.file("none/model.qn")); });
  EXPECT_NE(message.find("none/model.qn"), std::string::npos);
  EXPECT_NE(message.find("No such file or directory"), std::string::npos);
}

TEST(AtomicFile, TargetThatIsAFolder) {
  const TemporaryFolder folder;
  make_directories(folder.file("taken/inside"));
  EXPECT_NE(message_of([&] { write_text_file(folder.file("taken"), "text"); }), "");
  EXPECT_TRUE(std::filesystem::is_directory(folder.file("taken/inside")));
  EXPECT_EQ(folder.count(), 1);
}

TEST(MappedFile, BytesOutliveTheMap) {
  const TemporaryFolder folder;
  write_text_file(folder.file("a"), "hello");
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;
  {
    const MappedFile file = MappedFile::open(folder.file("a"));
    EXPECT_EQ(file.path(), folder.file("a"));
    bytes = file.bytes();
    owner = file.owner();
  }
  ASSERT_EQ(bytes.size(), 5u);
  EXPECT_EQ(static_cast<char>(bytes[4]), 'o');
}

TEST(MappedFile, SurvivesItsReplacement) {
  const TemporaryFolder folder;
  const std::string path = folder.file("a");
  write_text_file(path, "old text");
  const MappedFile file = MappedFile::open(path);
  write_text_file(path, "new");
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()), "old text");
}

TEST(MappedFile, Empty) {
  const TemporaryFolder folder;
  write_text_file(folder.file("empty"), "");
  EXPECT_TRUE(MappedFile::open(folder.file("empty")).bytes().empty());
  EXPECT_EQ(read_text_file(folder.file("empty")), "");
}

TEST(MappedFile, MissingFileAndFolder) {
  const TemporaryFolder folder;
  const std::string missing = message_of([&] { MappedFile::open(folder.file("missing")); });
  EXPECT_NE(missing.find("cannot read " + folder.file("missing") + ": No such file"), std::string::npos)
      << missing;
  const std::string directory = message_of([&] { MappedFile::open(folder.path()); });
  EXPECT_NE(directory.find("not a regular file"), std::string::npos) << directory;
}

TEST(Files, MakeDirectories) {
  const TemporaryFolder folder;
  make_directories(folder.file("a/b/c"));
  make_directories(folder.file("a/b/c"));
  EXPECT_TRUE(file_exists(folder.file("a/b/c")));
  EXPECT_FALSE(file_exists(folder.file("a/x")));
  write_text_file(folder.file("plain"), "");
  EXPECT_NE(message_of([&] { make_directories(folder.file("plain/below")); }), "");
}

}  // namespace
}  // namespace quantnoise::base
