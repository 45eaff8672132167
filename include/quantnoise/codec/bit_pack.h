#pragma once
// Bit packing of unsigned codes, 1 to 16 bits each: least significant bit first, without gaps.

#include <cstddef>
#include <cstdint>
#include <span>

namespace quantnoise::codec {

/// ceil(count · bits / 8).
int64_t packed_bytes(int64_t count, int bits);

/// Packs codes (each < 2^bits) into out, packed_bytes(codes.size(), bits) bytes. bits: 1 … 16.
void pack_bits(std::span<const uint16_t> codes, int bits, std::span<std::byte> out);

/// The inverse; reads packed_bytes(codes.size(), bits) bytes.
void unpack_bits(std::span<const std::byte> packed, int bits, std::span<uint16_t> codes);

}  // namespace quantnoise::codec
