#pragma once
// Files: read-only maps, and writes that appear whole or not at all.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace quantnoise::base {

/// A whole file mapped read-only. Copies share the map; the bytes live as long as the last copy.
class MappedFile {
 public:
  MappedFile() = default;
  /// Errors: kIo with the path and the system's reason; a directory or a file that is not regular is refused.
  static MappedFile open(const std::string& path);

  std::span<const std::byte> bytes() const { return bytes_; }
  const std::string& path() const { return path_; }
  /// Keeps the map alive; hand it to whoever keeps a span.
  std::shared_ptr<const void> owner() const { return owner_; }

 private:
  std::string path_;
  std::span<const std::byte> bytes_;
  std::shared_ptr<const void> owner_;
};

/// Writes to `path` + a temporary suffix in the same folder; commit() syncs and renames over `path`.
/// Without commit() (an exception, say) the temporary file is removed and `path` stays as it was; after a
/// failed write() commit() fails, too. A device, a pipe or a standard stream (/dev/stdout) is written to as
/// it is.
class AtomicFile {
 public:
  explicit AtomicFile(std::string path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(std::span<const std::byte> bytes);
  void write(const std::string& text);
  /// Bytes written so far.
  uint64_t size() const { return size_; }
  /// Flushes, syncs, renames, syncs the folder. Errors: kIo; `path` then holds what it held before.
  void commit();

 private:
  void flush();
  void abandon();

  std::string path_;
  std::string temporary_path_;
  std::vector<std::byte> buffer_;
  uint64_t size_ = 0;
  int descriptor_ = -1;
};

/// The whole file as text. Errors: kIo.
std::string read_text_file(const std::string& path);

/// Replaces `path` atomically by `text`.
void write_text_file(const std::string& path, const std::string& text);

/// Creates the folder and its parents when missing. Errors: kIo.
void make_directories(const std::string& path);

bool file_exists(const std::string& path);

}  // namespace quantnoise::base
