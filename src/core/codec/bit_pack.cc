#include "quantnoise/codec/bit_pack.h"

#include "quantnoise/base/checked.h"
#include "quantnoise/base/error.h"

namespace quantnoise::codec {

namespace {

void check_bits(int bits) {
  QN_REQUIRE(bits >= 1 && bits <= 16, ErrorKind::kConfig, "bits of a code: found ", bits,
             ", expected 1 to 16");
}

}  // namespace

int64_t packed_bytes(int64_t count, int bits) {
  check_bits(bits);
  return base::ceil_div(count * bits, 8);
}

void pack_bits(std::span<const uint16_t> codes, int bits, std::span<std::byte> out) {
  QN_INVARIANT(static_cast<int64_t>(out.size()) >= packed_bytes(static_cast<int64_t>(codes.size()), bits));
  size_t position = 0;
  if (bits == 8) {
    for (const uint16_t code : codes) out[position++] = static_cast<std::byte>(code);
    return;
  }
  uint32_t pending = 0;
  int num_pending = 0;
  for (const uint16_t code : codes) {
    pending |= uint32_t{code} << num_pending;
    for (num_pending += bits; num_pending >= 8; num_pending -= 8, pending >>= 8) {
      out[position++] = static_cast<std::byte>(pending);
    }
  }
  if (num_pending > 0) out[position] = static_cast<std::byte>(pending);
}

void unpack_bits(std::span<const std::byte> packed, int bits, std::span<uint16_t> codes) {
  QN_INVARIANT(static_cast<int64_t>(packed.size()) >= packed_bytes(static_cast<int64_t>(codes.size()), bits));
  size_t position = 0;
  if (bits == 8) {
    for (uint16_t& code : codes) code = static_cast<uint16_t>(packed[position++]);
    return;
  }
  const uint32_t mask = (uint32_t{1} << bits) - 1;
  uint32_t pending = 0;
  int num_pending = 0;
  for (uint16_t& code : codes) {
    for (; num_pending < bits; num_pending += 8) {
      pending |= std::to_integer<uint32_t>(packed[position++]) << num_pending;
    }
    code = static_cast<uint16_t>(pending & mask);
    pending >>= bits;
    num_pending -= bits;
  }
}

}  // namespace quantnoise::codec
