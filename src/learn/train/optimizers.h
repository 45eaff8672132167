#pragma once
// The optimizers there are; the table is in optimizer.cc.

#include <memory>

#include "quantnoise/train/optimizer.h"

namespace quantnoise::train {

/// torch's AdamW with decoupled weight decay (Loshchilov & Hutter), fused: one pass over each tensor.
std::unique_ptr<Optimizer> make_adamw(const OptimizerOptions& options);
/// fairseq's Adam: as AdamW, but eps is added to the root of the uncorrected second moment.
std::unique_ptr<Optimizer> make_adam(const OptimizerOptions& options);
/// fairseq's Nesterov accelerated gradient.
std::unique_ptr<Optimizer> make_nag(const OptimizerOptions& options);
/// torch's SGD: weight decay added to the gradient, momentum without dampening.
std::unique_ptr<Optimizer> make_sgd(const OptimizerOptions& options);

}  // namespace quantnoise::train
