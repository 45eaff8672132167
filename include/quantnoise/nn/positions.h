#pragma once
// Position embeddings: sinusoidal and learned, as fairseq counts them.

#include <torch/torch.h>

#include "quantnoise/nn/linear.h"

namespace quantnoise::nn {

/// Row of each token in a table of positions: padding → padding_idx; others padding_idx + `past` + the number
/// of tokens that are not padding so far. tokens: int64 (batch, T).
at::Tensor position_indices(const at::Tensor& tokens, int64_t padding_idx, int64_t past = 0);

/// Fixed table, sin half then cos half, frequencies e^(−k ln(10000) / (half − 1)); the padding row is zero.
class SinusoidalPositions {
 public:
  SinusoidalPositions(int64_t dim, int64_t padding_idx) : dim_(dim), padding_idx_(padding_idx) {}
  /// indices: int64 (…) → fp32 (…, dim); the table grows as needed.
  at::Tensor rows(const at::Tensor& indices);

 private:
  int64_t dim_;
  int64_t padding_idx_;
  at::Tensor table_;
};

/// The first `rows` rows of the fixed table, fp32 (rows, dim).
at::Tensor sinusoidal_table(int64_t rows, int64_t dim, int64_t padding_idx);

/// Trainable positions: max_positions + padding_idx + 1 rows, N(0, dim^-1/2), padding row zero.
Embedding make_learned_positions(int64_t max_positions, int64_t dim, int64_t padding_idx);

}  // namespace quantnoise::nn
