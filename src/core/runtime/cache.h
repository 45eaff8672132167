#pragma once
// Keys and values of the positions a sequence has seen, in pages of 64 positions. Sequences that begin alike
// share pages; who writes into a shared one gets a copy of it.

#include <cstdint>
#include <memory>
#include <vector>

#include "core/runtime/aligned_buffer.h"

namespace quantnoise::runtime {

/// Sizes of one layer's keys and values.
struct CacheShape {
  int64_t num_heads = 1;
  int64_t head_dim = 0;

  static constexpr int64_t kPagePositions = 64;
  /// Values have rows of whole vectors.
  int64_t padded_head_dim() const { return (head_dim + 15) / 16 * 16; }
  int64_t head_floats() const { return kPagePositions * (head_dim + padded_head_dim()); }
  int64_t page_bytes() const { return num_heads * head_floats() * static_cast<int64_t>(sizeof(float)); }
};

/// Of one layer and one sequence. Copies share the pages.
class LayerCache {
 public:
  explicit LayerCache(const CacheShape& shape) : shape_(shape) {}

  /// key, value: (num_heads · head_dim) of the next position.
  void append(const float* key, const float* value);

  int64_t num_positions() const { return num_positions_; }
  const CacheShape& shape() const { return shape_; }
  /// Keys of one head and page: (head_dim, 64).
  const float* keys(int64_t page, int64_t head) const {
    return pages_[static_cast<size_t>(page)]->data() + head * shape_.head_floats();
  }
  /// Values of one head and page: (64, padded_head_dim); zeros where nothing was written.
  const float* values(int64_t page, int64_t head) const {
    return keys(page, head) + CacheShape::kPagePositions * shape_.head_dim;
  }

  /// Adds the addresses of the pages, so that shared ones can be counted once.
  void append_pages(std::vector<const void*>& pages) const {
    for (const auto& page : pages_) pages.push_back(page.get());
  }

 private:
  float* writable_page();

  CacheShape shape_;
  int64_t num_positions_ = 0;
  std::vector<std::shared_ptr<AlignedBuffer<float>>> pages_;
};

}  // namespace quantnoise::runtime
