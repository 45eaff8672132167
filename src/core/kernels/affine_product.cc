#include "quantnoise/kernels/affine_product.h"

#include "core/kernels/same_set.h"

namespace quantnoise::kernels {

AffineSteps AffineSteps::of(int bits, int64_t cols) {
  AffineSteps steps;
  steps.bits = bits;
  steps.parts = bits == 4 ? 2 : bits == 2 ? 4 : 1;
  steps.step_bytes = 8 * bits * steps.parts;
  steps.num_steps = (cols + steps.columns() - 1) / steps.columns();
  return steps;
}

double affine_input_sum(const AffineInput& input) {
  double sum = 0;
  for (int64_t i = 0; i < input.steps.num_steps * kAffineLanes; ++i)
    sum += double{input.factors[i]} * (-input.offsets[i] / input.steps.middle());
  return sum;
}

const AffineProductKernels& affine_product_kernels() {
#if defined(__x86_64__)
  static const AffineProductKernels& chosen =
      same_set(kAffineProductPortable, kAffineProductAvx2, kAffineProductAvx512, kAffineProductAvx512Vnni);
#else
  static const AffineProductKernels& chosen = kAffineProductPortable;
#endif
  return chosen;
}

}  // namespace quantnoise::kernels
