#include <cmath>

#include "quantnoise/base/error.h"
#include "quantnoise/nn/attention.h"
#include "quantnoise/nn/dropout.h"
#include "quantnoise/quant/context.h"

namespace quantnoise::nn {

MultiheadAttentionImpl::MultiheadAttentionImpl(const MultiheadAttentionOptions& options) : options_(options) {
  const int64_t dim = options_.embed_dim();
  QN_REQUIRE(options_.num_heads() > 0 && dim % options_.num_heads() == 0, ErrorKind::kConfig,
             "attention: found ", dim, " features and ", options_.num_heads(),
             " heads, expected a number of heads that divides the features");
  const LinearOptions projection = LinearOptions(dim, dim).bias(options_.bias());
  k_proj = register_module("k_proj", Linear(projection));
  v_proj = register_module("v_proj", Linear(projection));
  q_proj = register_module("q_proj", Linear(projection));
  out_proj = register_module("out_proj", Linear(projection));
  v_proj->share_input(*k_proj);
  q_proj->share_input(*k_proj);
  const at::NoGradGuard no_grad;
  for (Linear* linear : {&k_proj, &v_proj, &q_proj}) {
    torch::nn::init::xavier_uniform_((*linear)->weight(), 1.0 / std::sqrt(2.0));
  }
  torch::nn::init::xavier_uniform_(out_proj->weight());
  if (options_.bias()) out_proj->bias().zero_();
}

at::Tensor MultiheadAttentionImpl::forward(const at::Tensor& x, bool causal,
                                           const at::Tensor& key_padding_mask, AttentionCache* cache,
                                           const std::string& pass) {
  const int64_t heads = options_.num_heads();
  const int64_t head_dim = options_.embed_dim() / heads;
  const auto split = [&](const at::Tensor& projected) {
    return projected.view({projected.size(0), projected.size(1), heads, head_dim}).transpose(1, 2);
  };
  const at::Tensor input = k_proj->quantized(x).to(quant::compute_type());
  const at::Tensor q = split(q_proj->product(input));
  at::Tensor k = split(k_proj->product(input));
  at::Tensor v = split(v_proj->product(input));
  if (cache != nullptr) {
    if (cache->key.defined()) {
      k = at::cat({cache->key.to(k.scalar_type()), k}, 2);
      v = at::cat({cache->value.to(v.scalar_type()), v}, 2);
    }
    cache->key = k;
    cache->value = v;
  }
  const double p = is_training() ? options_.dropout() : 0.0;
  // The slot's name is the path of out_proj in the model: unlike for every layer.
  const base::RandomStream stream = activation_stream(out_proj->slot()->name() + pass + ".attention");
  const at::Tensor mixed = attention(q, k, v, causal, p, stream, key_padding_mask);
  return out_proj->forward(mixed.transpose(1, 2).reshape(x.sizes()));
}

}  // namespace quantnoise::nn
