#pragma once
// LayerDrop (Fan, Grave and Joulin 2020): whole layers are left out while training.

#include <cstdint>
#include <string>

namespace quantnoise::nn {

/// Whether `layer` of the list is left out at the current noise clock: draw `layer` of stream `name` is below
/// p. Nothing is rescaled. Never in evaluation.
bool layer_is_dropped(const std::string& name, int64_t layer, double p, bool training);

}  // namespace quantnoise::nn
