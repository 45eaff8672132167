#include "quantnoise/kernels/dense_product.h"

#include "core/kernels/same_set.h"

namespace quantnoise::kernels {

const DenseProductKernels& dense_product_kernels() {
#if defined(__x86_64__)
  static const DenseProductKernels& chosen =
      same_set(kDenseProductPortable, kDenseProductAvx2, kDenseProductAvx512);
#else
  static const DenseProductKernels& chosen = kDenseProductPortable;
#endif
  return chosen;
}

}  // namespace quantnoise::kernels
