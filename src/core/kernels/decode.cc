#include "core/kernels/kernel_functions.h"
#include "core/kernels/same_set.h"

namespace quantnoise::kernels {

const DecodeKernels kDecodePortable = {"portable", portable::decode_f32, portable::decode_u16};
#if QN_KERNELS_X86
const DecodeKernels kDecodeAvx2 = {"avx2", avx2::decode_f32, avx2::decode_u16};
const DecodeKernels kDecodeAvx512 = {"avx512", avx512::decode_f32, avx512::decode_u16};
#elif QN_KERNELS_NEON
const DecodeKernels kDecodeNeon = {"neon", neon::decode_f32, neon::decode_u16};
#endif

const DecodeKernels& decode_kernels() {
#if QN_KERNELS_X86
  static const DecodeKernels& chosen = same_set(kDecodePortable, kDecodeAvx2, kDecodeAvx512);
#elif QN_KERNELS_NEON
  static const DecodeKernels& chosen = same_set(kDecodePortable, kDecodeNeon);
#else
  static const DecodeKernels& chosen = kDecodePortable;
#endif
  return chosen;
}

}  // namespace quantnoise::kernels
