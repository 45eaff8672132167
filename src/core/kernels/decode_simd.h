#pragma once
// Decoding copies whole centroids: with a size the compiler knows, a copy is one or two vector moves.

#include <cstring>

#include "core/kernels/kernel_functions.h"

namespace quantnoise::kernels {
namespace {

template <int kBytes>
inline void copy_entries(const uint16_t* codes, int64_t num_blocks, const void* table, void* out) {
  const char* entries = static_cast<const char*>(table);
  char* to = static_cast<char*>(out);
  for (int64_t i = 0; i < num_blocks; ++i) {
    __builtin_memcpy(to + i * kBytes, entries + int64_t{codes[i]} * kBytes, kBytes);
  }
}

// True when the entry size has a fast loop, which then ran.
inline bool copy_entries_of(int bytes, const uint16_t* codes, int64_t num_blocks, const void* table,
                            void* out) {
  switch (bytes) {
    case 8:
      copy_entries<8>(codes, num_blocks, table, out);
      return true;
    case 16:
      copy_entries<16>(codes, num_blocks, table, out);
      return true;
    case 32:
      copy_entries<32>(codes, num_blocks, table, out);
      return true;
    case 64:
      copy_entries<64>(codes, num_blocks, table, out);
      return true;
    default:
      return false;
  }
}

inline void decode_f32(const uint16_t* codes, int64_t num_blocks, const float* centroids, int block_size,
                       float* out) noexcept {
  if (copy_entries_of(4 * block_size, codes, num_blocks, centroids, out)) return;
  portable::decode_f32(codes, num_blocks, centroids, block_size, out);
}

inline void decode_u16(const uint16_t* codes, int64_t num_blocks, const uint16_t* centroids, int block_size,
                       uint16_t* out) noexcept {
  if (copy_entries_of(2 * block_size, codes, num_blocks, centroids, out)) return;
  portable::decode_u16(codes, num_blocks, centroids, block_size, out);
}

}  // namespace
}  // namespace quantnoise::kernels
