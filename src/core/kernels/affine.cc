#include "quantnoise/kernels/affine.h"

#include <cmath>

#include "core/kernels/same_set.h"
#include "quantnoise/base/random.h"

namespace quantnoise::kernels {

AffineStep affine_step(float scale, int32_t zero_point, int bits) {
  const int32_t max_code = (1 << bits) - 1;
  return {scale, 1.0f / scale, static_cast<float>(-zero_point), static_cast<float>(max_code - zero_point),
          zero_point};
}

AffineDraws affine_draws(const base::RandomStream& stream, double probability) {
  AffineDraws draws;
  draws.key[0] = stream.key[0];
  draws.key[1] = stream.key[1];
  draws.update = stream.update;
  draws.micro_batch = stream.micro_batch;
  if (probability >= 1) {
    draws.threshold = 65536;
  } else if (probability > 0) {
    const double nearest = std::nearbyint(probability * 65536);
    draws.threshold = static_cast<uint32_t>(nearest < 1 ? 1 : (nearest > 65535 ? 65535 : nearest));
  }
  return draws;
}

const AffineCodeKernels& affine_code_kernels() {
#if defined(__x86_64__)
  static const AffineCodeKernels& chosen = same_set(kAffineCodePortable, kAffineCodeAvx2, kAffineCodeAvx512);
#else
  static const AffineCodeKernels& chosen = kAffineCodePortable;
#endif
  return chosen;
}

const AffineValueKernels& affine_value_kernels() {
#if defined(__x86_64__)
  static const AffineValueKernels& chosen =
      same_set(kAffineValuePortable, kAffineValueAvx2, kAffineValueAvx512);
#else
  static const AffineValueKernels& chosen = kAffineValuePortable;
#endif
  return chosen;
}

const AffineNoiseKernels& affine_noise_kernels() {
#if defined(__x86_64__)
  static const AffineNoiseKernels& chosen =
      same_set(kAffineNoisePortable, kAffineNoiseAvx2, kAffineNoiseAvx512);
#else
  static const AffineNoiseKernels& chosen = kAffineNoisePortable;
#endif
  return chosen;
}

const AffineRangeKernels& affine_range_kernels() {
#if defined(__x86_64__)
  static const AffineRangeKernels& chosen =
      same_set(kAffineRangePortable, kAffineRangeAvx2, kAffineRangeAvx512);
#else
  static const AffineRangeKernels& chosen = kAffineRangePortable;
#endif
  return chosen;
}

}  // namespace quantnoise::kernels
