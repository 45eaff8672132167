#include "core/kernels/affine_loops.h"

#if defined(__x86_64__)

namespace quantnoise::kernels {

const AffineCodeKernels kAffineCodeAvx512 = affine_code_set("avx512");
const AffineValueKernels kAffineValueAvx512 = affine_value_set("avx512");
const AffineNoiseKernels kAffineNoiseAvx512 = affine_noise_set("avx512");
const AffineRangeKernels kAffineRangeAvx512 = affine_range_set("avx512");

}  // namespace quantnoise::kernels

#endif
