#pragma once
// Multi-head attention on weight slots, fairseq's names (k_proj, v_proj, q_proj, out_proj).

#include <torch/torch.h>

#include <optional>
#include <string>

#include "quantnoise/base/random.h"
#include "quantnoise/nn/linear.h"

namespace quantnoise::nn {

/// Softmax attention with dropout on the probabilities, tiled over queries: no T × T tensor is kept; the
/// dropout mask is counter-based and recomputed in the backward pass. q, k, v: (batch, heads, T, head_dim),
/// fp32 or bf16. key_padding_mask: bool (batch, T_k), true = ignore; may be undefined. With `causal` and
/// fewer queries than keys the queries are the last positions. A query that sees no key gives zeros. Saved
/// for the backward pass: q, k, v, the result and one number a query. The result is the same for any number
/// of threads. draw i of `stream` belongs to element ((batch·heads + head)·T_q + query)·T_k + key.
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, bool causal,
                     double dropout, const base::RandomStream& stream,
                     const at::Tensor& key_padding_mask = {});

struct MultiheadAttentionOptions {
  MultiheadAttentionOptions(int64_t embed_dim, int64_t num_heads)
      : embed_dim_(embed_dim), num_heads_(num_heads) {}
  TORCH_ARG(int64_t, embed_dim);
  TORCH_ARG(int64_t, num_heads);
  TORCH_ARG(double, dropout) = 0.0;
  TORCH_ARG(bool, bias) = true;
};

/// Keys and values of past positions for generation; (batch, heads, T_past, head_dim) or undefined.
struct AttentionCache {
  at::Tensor key;
  at::Tensor value;
};

/// Self-attention. Initialisation: q, k, v xavier uniform with gain 1/√2, out_proj xavier, out bias 0,
/// as in fairseq.
class MultiheadAttentionImpl : public torch::nn::Module {
 public:
  explicit MultiheadAttentionImpl(const MultiheadAttentionOptions& options);
  /// x: (batch, T, embed_dim) → the same shape. With a cache: x holds the new positions only, and the cache
  /// grows. pass: tells the dropout of several uses in one forward pass apart.
  at::Tensor forward(const at::Tensor& x, bool causal, const at::Tensor& key_padding_mask = {},
                     AttentionCache* cache = nullptr, const std::string& pass = "");

  Linear k_proj{nullptr}, v_proj{nullptr}, q_proj{nullptr}, out_proj{nullptr};

 private:
  MultiheadAttentionOptions options_;
};
TORCH_MODULE(MultiheadAttention);

}  // namespace quantnoise::nn
