#include "quantnoise/base/file_kind.h"

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "quantnoise/base/file.h"

namespace quantnoise::base {

namespace {

// A safetensors header is at most 100 MB long (the limit of the format's own reader).
constexpr uint64_t kMaxSafetensorsHeader = 100'000'000;

struct Signature {
  std::string_view bytes;
  FileKind kind;
};

using namespace std::string_view_literals;

constexpr Signature kSignatures[] = {
    {"PK\x03\x04"sv, FileKind::kPyTorchZip},
    {"\x80\x02"sv, FileKind::kPickle},
    {"\x80\x03"sv, FileKind::kPickle},
    {"\x80\x04"sv, FileKind::kPickle},
    {"\x80\x05"sv, FileKind::kPickle},
    {"version https://git-lfs"sv, FileKind::kGitLfsPointer},
    {"GGUF"sv, FileKind::kGguf},
    {"\x89HDF\r\n\x1a\n"sv, FileKind::kHdf5},
    {"\x93NUMPY"sv, FileKind::kNumpy},
    {"\x1f\x8b"sv, FileKind::kGzip},
    {"\x28\xb5\x2f\xfd"sv, FileKind::kZstd},
    {"\xfd"
     "7zXZ\0"sv,
     FileKind::kXz},
    {"\x7f"
     "ELF"sv,
     FileKind::kElf},
    {"MMIDIDX\0\0"sv, FileKind::kFairseqIndex},
};

bool starts_like_safetensors(std::string_view text) {
  if (text.size() < 9 || text[8] != '{') return false;
  uint64_t header_length = 0;
  for (int i = 7; i >= 0; --i) header_length = header_length << 8 | static_cast<unsigned char>(text[i]);
  return header_length >= 2 && header_length <= kMaxSafetensorsHeader;
}

bool starts_like_html(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos || text[begin] != '<') return false;
  std::string lower(text.substr(begin, 16));
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower.starts_with("<!doctype html") || lower.starts_with("<html");
}

}  // namespace

FileKind recognize_bytes(std::span<const std::byte> first_bytes) {
  if (first_bytes.empty()) return FileKind::kEmpty;
  const std::string_view text(reinterpret_cast<const char*>(first_bytes.data()),
                              std::min(first_bytes.size(), kFileKindBytes));
  // Before the signatures: a header length may by chance begin with the two bytes of gzip or pickle.
  if (starts_like_safetensors(text)) return FileKind::kSafetensors;
  for (const Signature& signature : kSignatures) {
    if (text.starts_with(signature.bytes)) return signature.kind;
  }
  return starts_like_html(text) ? FileKind::kHtml : FileKind::kUnknown;
}

std::string describe(FileKind kind) {
  switch (kind) {
    case FileKind::kUnknown:
      return "a file of unknown format";
    case FileKind::kEmpty:
      return "an empty file";
    case FileKind::kSafetensors:
      return "a safetensors file";
    case FileKind::kPyTorchZip:
      return "a PyTorch zip checkpoint";
    case FileKind::kPickle:
      return "a legacy PyTorch checkpoint or another pickle";
    case FileKind::kGitLfsPointer:
      return "a git-lfs pointer, not the file itself";
    case FileKind::kGguf:
      return "a GGUF file";
    case FileKind::kHdf5:
      return "an HDF5 file";
    case FileKind::kNumpy:
      return "a NumPy array";
    case FileKind::kHtml:
      return "an HTML page";
    case FileKind::kGzip:
      return "a gzip archive";
    case FileKind::kZstd:
      return "a zstd archive";
    case FileKind::kXz:
      return "an xz archive";
    case FileKind::kElf:
      return "a program (ELF)";
    case FileKind::kFairseqIndex:
      return "the index of a binarized data set";
  }
  return "a file of unknown format";
}

std::string hint_for(FileKind kind) {
  switch (kind) {
    case FileKind::kPyTorchZip:
    case FileKind::kPickle:
      return "PyTorch checkpoints are not read; preprocess and train with qn, or start from one of its model "
             "files";
    case FileKind::kGitLfsPointer:
      return "fetch the file: git lfs pull";
    case FileKind::kHtml:
      return "the download failed: this is the page of an error or a login";
    case FileKind::kGzip:
    case FileKind::kZstd:
    case FileKind::kXz:
      return "unpack it first";
    default:
      return "";
  }
}

std::string describe_file(const std::string& path) {
  return describe(recognize_bytes(MappedFile::open(path).bytes()));
}

}  // namespace quantnoise::base
