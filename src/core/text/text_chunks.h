#pragma once
// A text file in chunks that end at line ends, worked on by threads and collected in order.

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "quantnoise/base/file.h"
#include "quantnoise/base/parallel.h"
#include "quantnoise/text/lines.h"

namespace quantnoise::text {

/// The chunks depend on the file alone, never on the number of threads.
class TextChunks {
 public:
  /// Errors: kIo for a missing file, kData for an empty one.
  explicit TextChunks(const std::string& path);

  const std::string& path() const { return file_.path(); }
  uint64_t num_bytes() const { return file_.bytes().size(); }
  int64_t size() const { return static_cast<int64_t>(ends_.size()); }
  std::string_view operator[](int64_t chunk) const;

 private:
  base::MappedFile file_;
  std::vector<size_t> ends_;
};

/// Calls collect(work(chunk), bytes up to the chunk's end) in the order of the chunks; work runs on the
/// threads, a few chunks for each at a time, so that memory stays bounded.
template <typename Result, typename Work, typename Collect>
void for_each_chunk(const TextChunks& chunks, const base::ParallelFor& threads, const Work& work,
                    const Collect& collect) {
  const int64_t wave = 4 * threads.num_threads();
  uint64_t bytes_done = 0;
  for (int64_t first = 0; first < chunks.size(); first += wave) {
    const int64_t count = std::min(wave, chunks.size() - first);
    std::vector<Result> results(static_cast<size_t>(count));
    threads(count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) results[static_cast<size_t>(i)] = work(chunks[first + i]);
    });
    for (int64_t i = 0; i < count; ++i) {
      bytes_done += chunks[first + i].size();
      collect(results[static_cast<size_t>(i)], bytes_done);
    }
  }
}

}  // namespace quantnoise::text
