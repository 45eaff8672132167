#include "core/kernels/kernel_functions.h"

#if QN_KERNELS_NEON

#include "core/kernels/decode_simd.h"

namespace quantnoise::kernels {

const DecodeKernels kDecodeNeon = {"neon", decode_f32, decode_u16};

}  // namespace quantnoise::kernels

#endif
