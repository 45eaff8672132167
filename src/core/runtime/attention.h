#pragma once
// Self-attention over the positions that a sequence has seen so far.

#include <span>
#include <vector>

#include "core/runtime/cache.h"
#include "core/runtime/layers.h"

namespace quantnoise::runtime {

/// New positions of one sequence within a matrix of activations.
struct Segment {
  int64_t first_row = 0;
  int64_t num_rows = 0;
  std::vector<LayerCache>* caches = nullptr;  ///< of the sequence, one a layer
};

/// Causal softmax attention: every new position sees itself and all before it. q: (rows, num_heads ·
/// head_dim), one row a new position, whose keys and values stand in the cache of `layer` already. out: as q.
/// The same bits for any number of threads.
void attend(std::span<const Segment> segments, size_t layer, const float* q, float* out, Context& context);

/// Projections of self-attention (k_proj, v_proj, q_proj, out_proj) and what lies between them.
class SelfAttention {
 public:
  SelfAttention(Linear query, Linear key, Linear value, Linear out)
      : query_(std::move(query)), key_(std::move(key)), value_(std::move(value)), out_(std::move(out)) {}

  struct Buffers {
    AlignedBuffer<float> query, key, value, mixed;
  };

  /// x, y: (n, embed_dim), rows as the segments say; they may be the same. The caches grow.
  void forward(const float* x, int64_t n, std::span<const Segment> segments, size_t layer, float* y,
               Buffers& buffers, Context& context) const;

 private:
  Linear query_, key_, value_, out_;
};

}  // namespace quantnoise::runtime
