#include "core/text/text_chunks.h"

#include "quantnoise/base/error.h"

namespace quantnoise::text {

namespace {

constexpr size_t kChunkBytes = size_t{1} << 20;

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

TextChunks::TextChunks(const std::string& path) : file_(base::MappedFile::open(path)) {
  const std::string_view text = as_text(file_.bytes());
  QN_REQUIRE(!text.empty(), ErrorKind::kData, "cannot use ", path,
             ": the file is empty, expected lines of text");
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
