#include "quantnoise/base/file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include "quantnoise/base/error.h"

namespace quantnoise::base {

namespace {

// Written in whole pieces of a huge page's size, a file is cached in such pages where the system can: maps of
// it then need few page walks, and few page faults when they are new.
constexpr size_t kPieceBytes = size_t{2} << 20;

[[noreturn]] void fail_io(const std::string& what, const std::string& path, int error_number) {
  throw Error(ErrorKind::kIo, str_cat("cannot ", what, " ", path, ": ", std::strerror(error_number)));
}

// A device, a pipe, or a name for one of the process's own streams: written to, never replaced.
bool is_stream(const std::string& path) {
  if (path.starts_with("/dev/std") || path.starts_with("/dev/fd/")) return true;
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode) && !S_ISDIR(status.st_mode);
}

// Closes the descriptor at the end of the scope.
struct Descriptor {
  int number;
  ~Descriptor() {
    if (number >= 0) ::close(number);
  }
};

}  // namespace

MappedFile MappedFile::open(const std::string& path) {
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};  // a pipe does not wait
  if (file.number < 0) fail_io("read", path, errno);
  struct stat status {};
  if (::fstat(file.number, &status) != 0) fail_io("read", path, errno);
  QN_REQUIRE(S_ISREG(status.st_mode), ErrorKind::kIo, "cannot read ", path, ": not a regular file");

  MappedFile mapped;
  mapped.path_ = path;
  const auto size = static_cast<size_t>(status.st_size);
  if (size == 0) return mapped;
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.number, 0);
  if (address == MAP_FAILED) fail_io("map", path, errno);
  mapped.owner_ =
      std::shared_ptr<const void>(address, [size](const void* p) { ::munmap(const_cast<void*>(p), size); });
  mapped.bytes_ = {static_cast<const std::byte*>(address), size};
  return mapped;
}

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)) {
  if (is_stream(path_)) {
    descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CLOEXEC);
  } else {
    temporary_path_ = str_cat(path_, ".tmp", ::getpid());
    descriptor_ = ::open(temporary_path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  }
  if (descriptor_ < 0) fail_io("write", path_, errno);
}

AtomicFile::~AtomicFile() { abandon(); }

void AtomicFile::abandon() {
  if (descriptor_ < 0) return;
  ::close(std::exchange(descriptor_, -1));
  if (!temporary_path_.empty()) ::unlink(temporary_path_.c_str());
}

void AtomicFile::flush() {
  size_t done = 0;
  while (done < buffer_.size()) {
    const ssize_t count = ::write(descriptor_, buffer_.data() + done, buffer_.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      const int error_number = errno;
      abandon();
      fail_io("write", path_, error_number);
    }
    done += static_cast<size_t>(count);
  }
  buffer_.clear();
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const auto part = bytes.first(std::min(bytes.size(), kPieceBytes - buffer_.size()));
    buffer_.insert(buffer_.end(), part.begin(), part.end());
    size_ += part.size();
    bytes = bytes.subspan(part.size());
    if (buffer_.size() == kPieceBytes) flush();
  }
}

void AtomicFile::write(const std::string& text) { write(std::as_bytes(std::span(text.data(), text.size()))); }

void AtomicFile::commit() {
  flush();
  if (temporary_path_.empty()) {
    if (::close(std::exchange(descriptor_, -1)) != 0) fail_io("write", path_, errno);
    return;
  }
  if (::fsync(descriptor_) != 0) fail_io("sync", path_, errno);
  const int closed = ::close(std::exchange(descriptor_, -1));
  if (closed != 0 || ::rename(temporary_path_.c_str(), path_.c_str()) != 0) {
    const int error_number = errno;
    ::unlink(temporary_path_.c_str());
    fail_io("replace", path_, error_number);
  }
  const std::string folder = std::filesystem::path(path_).parent_path().string();
  const Descriptor directory{
      ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (directory.number >= 0) ::fsync(directory.number);
}

std::string read_text_file(const std::string& path) {
  const MappedFile file = MappedFile::open(path);
  const auto bytes = file.bytes();
  return bytes.empty() ? std::string()
                       : std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

void write_text_file(const std::string& path, const std::string& text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

void make_directories(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  QN_REQUIRE(!error, ErrorKind::kIo, "cannot create the folder ", path, ": ", error.message());
}

bool file_exists(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path, error);
}

}  // namespace quantnoise::base
