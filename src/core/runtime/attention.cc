#include "core/runtime/attention.h"

#include <algorithm>
#include <cmath>

#include "quantnoise/base/checked.h"
#include "quantnoise/kernels/attention.h"

namespace quantnoise::runtime {

namespace {

constexpr int64_t kQueryTile = 16;
constexpr int64_t kPage = CacheShape::kPagePositions;
static_assert(kPage == kernels::kKeyBlock);

/// Some queries of one sequence and one head.
struct Tile {
  const LayerCache* cache = nullptr;
  int64_t head = 0;
  int64_t first_row = 0;
  int64_t num_rows = 0;
  int64_t first_position = 0;  ///< of the first query
};

int64_t past_of(const Segment& segment, size_t layer) {
  return (*segment.caches)[layer].num_positions() - segment.num_rows;
}

std::vector<Tile> tiles_of(std::span<const Segment> segments, size_t layer) {
  std::vector<Tile> tiles;
  for (const Segment& segment : segments) {
    const LayerCache& cache = (*segment.caches)[layer];
    for (int64_t row = 0; row < segment.num_rows; row += kQueryTile) {
      for (int64_t head = 0; head < cache.shape().num_heads; ++head) {
        tiles.push_back({&cache, head, segment.first_row + row, std::min(kQueryTile, segment.num_rows - row),
                         past_of(segment, layer) + row});
      }
    }
  }
  return tiles;
}

void attend_tile(const Tile& tile, const float* q, float* out, AlignedBuffer<float>& memory) {
  const kernels::AttentionKernels& kernels = kernels::attention_kernels();
  const CacheShape& shape = tile.cache->shape();
  const int64_t stride = shape.num_heads * shape.head_dim, padded = shape.padded_head_dim();
  const int64_t num_pages = base::ceil_div(tile.first_position + tile.num_rows, kPage);
  const int64_t page_scores = tile.num_rows * kPage;
  float* scores = memory.resize(num_pages * page_scores + tile.num_rows * padded);
  float* mixed = scores + num_pages * page_scores;
  const float* queries = q + tile.first_row * stride + tile.head * shape.head_dim;
  for (int64_t page = 0; page < num_pages; ++page) {
    kernels.gemm(tile.num_rows, kPage, shape.head_dim, queries, stride, tile.cache->keys(page, tile.head),
                 kPage, scores + page * page_scores, kPage, false);
  }
  float inverse_sums[kQueryTile];
  for (int64_t row = 0; row < tile.num_rows; ++row) {
    kernels::SoftmaxRow softmax;
    softmax.scores = scores + row * kPage;
    softmax.block_stride = page_scores;
    softmax.num_blocks = num_pages;
    softmax.num_keys = tile.first_position + row + 1;
    softmax.scale = 1.0f / std::sqrt(static_cast<float>(shape.head_dim));
    kernels.softmax_row(softmax, &inverse_sums[row]);
  }
  for (int64_t page = 0; page < num_pages; ++page) {
    kernels.gemm(tile.num_rows, padded, kPage, scores + page * page_scores, kPage,
                 tile.cache->values(page, tile.head), padded, mixed, padded, page > 0);
  }
  for (int64_t row = 0; row < tile.num_rows; ++row) {
    kernels.scale_f32(mixed + row * padded, shape.head_dim, inverse_sums[row],
                      out + (tile.first_row + row) * stride + tile.head * shape.head_dim);
  }
}

}  // namespace

void attend(std::span<const Segment> segments, size_t layer, const float* q, float* out, Context& context) {
  const std::vector<Tile> tiles = tiles_of(segments, layer);
  int64_t work = 0;
  for (const Tile& tile : tiles)
    work += tile.num_rows * (tile.first_position + tile.num_rows) * 2 * tile.cache->shape().head_dim;
  const auto count = static_cast<int64_t>(tiles.size());
  const int64_t num_parts = std::min<int64_t>(context.parallel_for().num_threads(), count);
  if (static_cast<int64_t>(context.scratch.size()) < num_parts)
    context.scratch.resize(static_cast<size_t>(num_parts));
  // Interleaved, so that long and short tiles are spread evenly.
  for_each_part(context, num_parts, work, [&](int64_t part) {
    for (int64_t i = part; i < count; i += num_parts)
      attend_tile(tiles[static_cast<size_t>(i)], q, out, context.scratch[static_cast<size_t>(part)]);
  });
}

void SelfAttention::forward(const float* x, int64_t n, std::span<const Segment> segments, size_t layer,
                            float* y, Buffers& buffers, Context& context) const {
  const int64_t dim = query_.out_features();
  float* query = buffers.query.resize(n * dim);
  float* key = buffers.key.resize(n * dim);
  float* value = buffers.value.resize(n * dim);
  float* mixed = buffers.mixed.resize(n * dim);
  {
    const SharedInput shared(context);
    query_.forward(x, n, query, context);
    key_.forward(x, n, key, context);
    value_.forward(x, n, value, context);
  }
  for (const Segment& segment : segments) {
    for (int64_t row = segment.first_row; row < segment.first_row + segment.num_rows; ++row)
      (*segment.caches)[layer].append(key + row * dim, value + row * dim);
  }
  attend(segments, layer, query, mixed, context);
  out_.forward(mixed, n, y, context);
}

}  // namespace quantnoise::runtime
