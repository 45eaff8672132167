#pragma once
// The bands of an adaptive vocabulary, and where their words are in a tensor.

#include <torch/torch.h>

#include "quantnoise/architecture/adaptive_bands.h"

namespace quantnoise::models {

using architecture::Band;
using architecture::make_bands;

/// Positions (int64) in `ids` (n) of the words of a band, rising.
at::Tensor positions_in(const at::Tensor& ids, const Band& band);

}  // namespace quantnoise::models
