#pragma once
// Element-wise work between the products in as few passes as it takes: in small models these passes, not the
// products, take the time. Dropout is counter-based: element i of a tensor (row-major) is dropped by draw i
// of the stream; no mask is stored, and the result is the same for any number of threads.

#include <torch/torch.h>

#include "quantnoise/base/random.h"
#include "quantnoise/nn/layer_norm.h"

namespace quantnoise::nn {

/// x, fp32 or bf16, with elements dropped with probability p in [0, 1] and the others multiplied by 1/(1 −
/// p).
at::Tensor dropout(const at::Tensor& x, double p, const base::RandomStream& stream);

/// dropout(max(x, 0)).
at::Tensor relu_dropout(const at::Tensor& x, double p, const base::RandomStream& stream);

/// A residual stream: an fp32 sum, and a branch that waits to be added so that dropout, addition and
/// normalization are one pass, forward and backward.
class ResidualStream {
 public:
  /// sum: (…, dim).
  explicit ResidualStream(const at::Tensor& sum) : sum_(sum.to(at::kFloat)) {}

  /// Adds dropout(branch, p); branch: shape of the sum, fp32 or bf16.
  void add(at::Tensor branch, double p, const base::RandomStream& stream);
  /// The normalized sum in the compute type; the sum goes on (pre-norm).
  at::Tensor normalized(LayerNorm& norm);
  /// The sum becomes its normalized value (post-norm).
  void normalize(LayerNorm& norm);
  at::Tensor sum();

 private:
  at::Tensor sum_;
  at::Tensor branch_;
  double p_ = 0;
  base::RandomStream stream_;
};

}  // namespace quantnoise::nn
