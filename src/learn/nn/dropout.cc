#include "quantnoise/nn/dropout.h"

#include "quantnoise/quant/context.h"

namespace quantnoise::nn {

base::RandomStream activation_stream(const std::string& name) {
  const quant::NoiseClock& clock = quant::noise_clock();
  return base::RandomStream(clock.seed, base::hash_name(name), clock.update, clock.micro_batch);
}

}  // namespace quantnoise::nn
