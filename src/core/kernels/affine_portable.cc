#include "core/kernels/affine_loops.h"

namespace quantnoise::kernels {

const AffineCodeKernels kAffineCodePortable = affine_code_set("portable");
const AffineValueKernels kAffineValuePortable = affine_value_set("portable");
const AffineNoiseKernels kAffineNoisePortable = affine_noise_set("portable");
const AffineRangeKernels kAffineRangePortable = affine_range_set("portable");

}  // namespace quantnoise::kernels
