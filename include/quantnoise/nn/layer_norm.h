#pragma once
// Layer normalization with fp32 statistics.

#include <torch/torch.h>

namespace quantnoise::nn {

/// γ (x − mean) / √(var + ε) + β over the last dimension; x fp32 (…, dim). forward() gives the compute type.
class LayerNormImpl : public torch::nn::Module {
 public:
  explicit LayerNormImpl(int64_t dim, double epsilon = 1e-5);
  at::Tensor forward(const at::Tensor& x);

  int64_t dim() const { return weight.numel(); }
  double epsilon() const { return epsilon_; }

  at::Tensor weight, bias;

 private:
  double epsilon_;
};
TORCH_MODULE(LayerNorm);

}  // namespace quantnoise::nn
