#include "quantnoise/nn/positions.h"

#include <cmath>

#include "quantnoise/base/error.h"

namespace quantnoise::nn {

at::Tensor position_indices(const at::Tensor& tokens, int64_t padding_idx, int64_t past) {
  const at::Tensor counted = tokens.ne(padding_idx).to(at::kLong);
  return (counted.cumsum(1) + past) * counted + padding_idx;
}

at::Tensor sinusoidal_table(int64_t rows, int64_t dim, int64_t padding_idx) {
  QN_REQUIRE(dim >= 4, ErrorKind::kConfig, "sinusoidal positions: found ", dim,
             " features, expected at least 4");
  const int64_t half = dim / 2;
  const double step = std::log(10000.0) / static_cast<double>(half - 1);
  const at::Tensor frequencies = at::exp(at::arange(half, at::kFloat) * -step);
  const at::Tensor angles = at::arange(rows, at::kFloat).unsqueeze(1) * frequencies.unsqueeze(0);
  at::Tensor table = at::zeros({rows, dim});
  table.narrow(1, 0, half).copy_(angles.sin());
  table.narrow(1, half, half).copy_(angles.cos());
  if (padding_idx >= 0 && padding_idx < rows) table[padding_idx].zero_();
  return table;
}

at::Tensor SinusoidalPositions::rows(const at::Tensor& indices) {
  const at::NoGradGuard no_grad;
  const int64_t needed = indices.numel() == 0 ? 1 : indices.max().item<int64_t>() + 1;
  if (!table_.defined() || table_.size(0) < needed) {
    table_ = sinusoidal_table(std::max<int64_t>(needed, 512) * 3 / 2, dim_, padding_idx_);
  }
  return at::embedding(table_, indices);
}

Embedding make_learned_positions(int64_t max_positions, int64_t dim, int64_t padding_idx) {
  const int64_t rows = max_positions + padding_idx + 1;
  Embedding positions(EmbeddingOptions(rows, dim).padding_idx(padding_idx));
  const at::NoGradGuard no_grad;
  at::Tensor weight = positions->weight();
  weight.normal_(0, std::pow(static_cast<double>(dim), -0.5));
  if (padding_idx >= 0) weight[padding_idx].zero_();
  return positions;
}

}  // namespace quantnoise::nn
