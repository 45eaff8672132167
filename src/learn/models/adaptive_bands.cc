#include "learn/models/adaptive_bands.h"

namespace quantnoise::models {

at::Tensor positions_in(const at::Tensor& ids, const Band& band) {
  return ids.ge(band.begin).logical_and_(ids.lt(band.end)).nonzero().squeeze(1);
}

}  // namespace quantnoise::models
