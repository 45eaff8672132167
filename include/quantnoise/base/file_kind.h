#pragma once
// What a file is, by its first bytes: so that a reader can say "this is a PyTorch checkpoint" instead of "bad
// header".

#include <cstddef>
#include <span>
#include <string>

namespace quantnoise::base {

enum class FileKind {
  kUnknown,
  kEmpty,
  kSafetensors,  ///< ours too: it is the manifest that makes a safetensors file ours
  kPyTorchZip,
  kPickle,
  kGitLfsPointer,
  kGguf,
  kHdf5,
  kNumpy,
  kHtml,
  kGzip,
  kZstd,
  kXz,
  kElf,
  kFairseqIndex,
};

/// Number of bytes at the start of a file that are enough for recognize_bytes().
inline constexpr size_t kFileKindBytes = 256;

/// The kind by the first bytes; more than kFileKindBytes are not looked at.
FileKind recognize_bytes(std::span<const std::byte> first_bytes);

/// With its article, for messages: "a PyTorch zip checkpoint". kUnknown: "a file of unknown format".
std::string describe(FileKind kind);

/// What to do with such a file, for Error's hint; empty when there is nothing to say.
std::string hint_for(FileKind kind);

/// describe() of a file on disk. Errors: kIo.
std::string describe_file(const std::string& path);

}  // namespace quantnoise::base
