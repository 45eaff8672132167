#include "core/text/text_chunks.h"

#include "quantnoise/base/error.h"
#include "quantnoise/base/file_kind.h"

namespace quantnoise::text {

namespace {

constexpr size_t kChunkBytes = size_t{1} << 20;

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// A compressed or binary file would give a dictionary of nonsense without a word of warning.
void require_text(const base::MappedFile& file) {
  const auto bytes = file.bytes();
  const base::FileKind kind =
      base::recognize_bytes(bytes.first(std::min(bytes.size(), base::kFileKindBytes)));
  const bool may_be_text = kind == base::FileKind::kUnknown || kind == base::FileKind::kHtml;
  QN_REQUIRE(kind != base::FileKind::kEmpty, ErrorKind::kData, "cannot use ", file.path(),
             ": the file is empty, expected lines of text");
  QN_REQUIRE(may_be_text, ErrorKind::kData, "cannot use ", file.path(), ": this is ", base::describe(kind),
             ", expected lines of text");
}

}  // namespace

TextChunks::TextChunks(const std::string& path) : file_(base::MappedFile::open(path)) {
  require_text(file_);
  const std::string_view text = as_text(file_.bytes());
  for (size_t end = 0; end < text.size();) {
    const size_t newline = text.find('\n', std::min(end + kChunkBytes, text.size() - 1));
    end = newline == std::string_view::npos ? text.size() : newline + 1;
    ends_.push_back(end);
  }
}

std::string_view TextChunks::operator[](int64_t chunk) const {
  const auto i = static_cast<size_t>(chunk);
  const size_t begin = i == 0 ? 0 : ends_[i - 1];
  return as_text(file_.bytes()).substr(begin, ends_[i] - begin);
}

}  // namespace quantnoise::text
