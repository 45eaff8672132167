#include "core/kernels/kernel_functions.h"
#include "core/kernels/same_set.h"

namespace quantnoise::kernels {

const DecodeKernels kDecodePortable = {"portable", portable::decode_f32, portable::decode_u16};

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
