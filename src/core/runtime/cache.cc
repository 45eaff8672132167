#include "core/runtime/cache.h"

#include <algorithm>

namespace quantnoise::runtime {

float* LayerCache::writable_page() {
  const int64_t count = shape_.page_bytes() / static_cast<int64_t>(sizeof(float));
  if (num_positions_ % CacheShape::kPagePositions == 0) {
    pages_.push_back(std::make_shared<AlignedBuffer<float>>());
    std::fill_n(pages_.back()->resize(count), count, 0.0f);
  } else if (pages_.back().use_count() > 1) {
    auto copy = std::make_shared<AlignedBuffer<float>>();
    std::copy_n(pages_.back()->data(), count, copy->resize(count));
    pages_.back() = std::move(copy);
  }
  return pages_.back()->data();
}

void LayerCache::append(const float* key, const float* value) {
  float* page = writable_page();
  const int64_t slot = num_positions_ % CacheShape::kPagePositions;
  const int64_t dim = shape_.head_dim;
  for (int64_t head = 0; head < shape_.num_heads; ++head) {
    float* keys = page + head * shape_.head_floats();
    float* values = keys + CacheShape::kPagePositions * dim + slot * shape_.padded_head_dim();
    for (int64_t i = 0; i < dim; ++i) keys[i * CacheShape::kPagePositions + slot] = key[head * dim + i];
    std::copy_n(value + head * dim, dim, values);
  }
  ++num_positions_;
}

}  // namespace quantnoise::runtime
