#include "core/kernels/affine_loops.h"

#if defined(__x86_64__)

namespace quantnoise::kernels {

const AffineCodeKernels kAffineCodeAvx2 = affine_code_set("avx2");
const AffineValueKernels kAffineValueAvx2 = affine_value_set("avx2");
const AffineNoiseKernels kAffineNoiseAvx2 = affine_noise_set("avx2");
const AffineRangeKernels kAffineRangeAvx2 = affine_range_set("avx2");

}  // namespace quantnoise::kernels

#endif
