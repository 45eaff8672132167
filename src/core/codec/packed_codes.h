#pragma once
// Reading the bit-packed codes of a PackedWeight.

#include <cstdint>
#include <vector>

#include "quantnoise/codec/packed_weight.h"

namespace quantnoise::codec {

/// `count` codes of packed.code_bits bits. Errors: kFormat when the bytes are more or fewer.
std::vector<uint16_t> read_codes(const PackedWeight& packed, int64_t count);

}  // namespace quantnoise::codec
