#include "quantnoise/train/loss_scale.h"

#include <algorithm>

#include "quantnoise/base/error.h"

namespace quantnoise::train {

void LossScale::succeed() {
  if ((attempts_ - last_overflow_) % options_.window == 0) value_ *= 2;
  ++attempts_;
}

void LossScale::overflow() {
  const double next = std::max(value_ / 2, options_.threshold);
  last_overflow_ = attempts_;
  if (next <= options_.smallest) {
    throw Error(ErrorKind::kNumeric,
                str_cat("the gradients overflow with a loss scale of ", value_, ", and it may not fall to ",
                        options_.smallest),
                "lower --lr, lengthen the warm-up or set --clip-norm");
  }
  value_ = next;
  ++attempts_;
}

}  // namespace quantnoise::train
