#include "quantnoise/kernels/dropout.h"

#include "core/kernels/same_set.h"
#include "quantnoise/base/random.h"

namespace quantnoise::kernels {

DropoutDraws dropout_draws(const base::RandomStream& stream, double probability) {
  DropoutDraws draws;
  draws.key[0] = stream.key[0];
  draws.key[1] = stream.key[1];
  draws.update = stream.update;
  draws.micro_batch = stream.micro_batch;
  if (probability < 1) {
    draws.threshold = static_cast<uint32_t>(base::bernoulli_threshold(probability));
    draws.scale = static_cast<float>(1.0 / (1.0 - probability));
  } else {
    draws.scale = 0;
  }
  return draws;
}

const DropoutKernels& dropout_kernels() {
#if defined(__x86_64__)
  static const DropoutKernels& chosen = same_set(kDropoutPortable, kDropoutAvx2, kDropoutAvx512);
#else
  static const DropoutKernels& chosen = kDropoutPortable;
#endif
  return chosen;
}

}  // namespace quantnoise::kernels
