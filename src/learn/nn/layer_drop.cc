#include "quantnoise/nn/layer_drop.h"

#include "quantnoise/base/random.h"
#include "quantnoise/nn/dropout.h"

namespace quantnoise::nn {

bool layer_is_dropped(const std::string& name, int64_t layer, double p, bool training) {
  if (!training || p <= 0) return false;
  return activation_stream(name).bits(static_cast<uint64_t>(layer)) < base::bernoulli_threshold(p);
}

}  // namespace quantnoise::nn
