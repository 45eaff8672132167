#pragma once
// Smaller models by leaving out layers (LayerDrop's second half).

#include <cstdint>
#include <vector>

#include "quantnoise/pack/model_file.h"

namespace quantnoise::train {

/// The option that names the layers.
inline constexpr char kLayersToKeep[] = "decoder-layers-to-keep";

/// `layers` sorted. Errors: kConfig when there is none, one twice, or one that is not below num_layers.
std::vector<int64_t> checked_layers(std::vector<int64_t> layers, int64_t num_layers);

/// Takes all decoder layers but these out of a file, dense or compressed, and numbers those that stay from 0.
/// Training state goes: what remains is a model. Errors: as checked_layers; kFormat for a file without
/// layers.
void keep_decoder_layers(pack::ModelFile& file, const std::vector<int64_t>& layers);

}  // namespace quantnoise::train
