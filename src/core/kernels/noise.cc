#include "core/kernels/kernel_functions.h"
#include "core/kernels/same_set.h"

namespace quantnoise::kernels {

const NoiseKernels kNoisePortable = {"portable", portable::noise_f32, portable::noise_bf16};
#if QN_KERNELS_X86
const NoiseKernels kNoiseAvx2 = {"avx2", avx2::noise_f32, avx2::noise_bf16};
const NoiseKernels kNoiseAvx512 = {"avx512", avx512::noise_f32, avx512::noise_bf16};
#elif QN_KERNELS_NEON
const NoiseKernels kNoiseNeon = {"neon", neon::noise_f32, neon::noise_bf16};
#endif

const NoiseKernels& noise_kernels() {
#if QN_KERNELS_X86
  static const NoiseKernels& chosen = same_set(kNoisePortable, kNoiseAvx2, kNoiseAvx512);
#elif QN_KERNELS_NEON
  static const NoiseKernels& chosen = same_set(kNoisePortable, kNoiseNeon);
#else
  static const NoiseKernels& chosen = kNoisePortable;
#endif
  return chosen;
}

}  // namespace quantnoise::kernels
