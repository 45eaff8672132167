#include "core/kernels/kernel_functions.h"
#include "core/kernels/same_set.h"

namespace quantnoise::kernels {

const NoiseKernels kNoisePortable = {"portable", portable::noise_f32, portable::noise_bf16};

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
