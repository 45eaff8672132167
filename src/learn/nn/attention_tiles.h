#pragma once
// Tiled attention on raw pointers: the operands of one head in the layouts that block products want, and the
// loops of the forward and the backward pass over tiles of queries and blocks of keys.

#include <torch/torch.h>

#include <cstdint>
#include <vector>

#include "quantnoise/kernels/attention.h"
#include "quantnoise/kernels/dropout.h"

namespace quantnoise::nn::tiles {

/// A (batch, heads, T, dim) tensor whose last stride is 1.
template <typename T>
struct Operand {
  T* data = nullptr;
  int64_t batch_stride = 0;
  int64_t head_stride = 0;
  int64_t row_stride = 0;

  T* head(int64_t batch, int64_t head) const { return data + batch * batch_stride + head * head_stride; }
};

struct Problem {
  int64_t batch = 0;
  int64_t heads = 0;
  int64_t num_queries = 0;
  int64_t num_keys = 0;
  int64_t dim = 0;
  bool causal = false;
  bool has_dropout = false;
  kernels::DropoutDraws draws;
  const bool* key_padding_mask = nullptr;  ///< (batch, num_keys), true = ignore; may be null
  float scale = 1;

  /// Keys that query number `query` may see; with fewer queries than keys the queries are the last positions.
  int64_t visible_keys(int64_t query) const {
    return causal ? std::min(num_keys, std::max<int64_t>(0, query + 1 + num_keys - num_queries)) : num_keys;
  }
};

/// T: float, or uint16_t for bf16 bits. log_sum_exp: (batch, heads, num_queries).
template <typename T>
void forward(const Problem& problem, const Operand<const T>& q, const Operand<const T>& k,
             const Operand<const T>& v, const Operand<T>& out, float* log_sum_exp);

template <typename T>
struct Gradients {
  Operand<T> q;
  Operand<T> k;
  Operand<T> v;
};

template <typename T>
void backward(const Problem& problem, const Operand<const T>& q, const Operand<const T>& k,
              const Operand<const T>& v, const Operand<const T>& out, const float* log_sum_exp,
              const Operand<const T>& grad_out, const Gradients<T>& gradients);

}  // namespace quantnoise::nn::tiles
