#include "core/kernels/kernel_functions.h"

#if QN_KERNELS_X86

#include "core/kernels/decode_simd.h"

namespace quantnoise::kernels {

const DecodeKernels kDecodeAvx2 = {"avx2", decode_f32, decode_u16};

}  // namespace quantnoise::kernels

#endif
