#include "learn/quant/widen.h"

#include "quantnoise/base/error.h"
#include "quantnoise/kernels/gradient.h"
#include "quantnoise/quant/context.h"

namespace quantnoise::quant {

at::Tensor widened_gradient(const at::Tensor& grad, at::IntArrayRef shape) {
  if (!grad.is_cpu() || grad.scalar_type() != at::kBFloat16) return grad.to(at::kFloat).view(shape);
  constexpr int64_t kGrain = 65536;
  const at::Tensor source = grad.contiguous();
  const at::Tensor wide = at::empty(shape, at::kFloat);
  QN_INVARIANT(wide.numel() == source.numel());
  const auto* bits = reinterpret_cast<const uint16_t*>(source.const_data_ptr<at::BFloat16>());
  auto* out = wide.mutable_data_ptr<float>();
  torch_parallel_for()(source.numel(), kGrain, [&](int64_t begin, int64_t end) {
    kernels::gradient_kernels().widen(bits + begin, end - begin, out + begin);
  });
  return wide;
}

}  // namespace quantnoise::quant
