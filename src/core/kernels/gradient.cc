#include "quantnoise/kernels/gradient.h"

#include "core/kernels/same_set.h"

namespace quantnoise::kernels {

const GradientKernels& gradient_kernels() {
#if defined(__x86_64__)
  static const GradientKernels& chosen = same_set(kGradientPortable, kGradientAvx2, kGradientAvx512);
#else
  static const GradientKernels& chosen = kGradientPortable;
#endif
  return chosen;
}

}  // namespace quantnoise::kernels
