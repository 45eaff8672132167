#if defined(__x86_64__)

#include "core/kernels/lookup_add.h"
#include "core/kernels/lookup_build.h"

namespace quantnoise::kernels {
namespace {

/// Byte permutes over two registers each: the lower and the upper half of the entries, one of them chosen by
/// the top bit of the code.
struct PermuteTable {
  static constexpr bool kWaitsForMemory = true;  // codes are looked up faster than they come

  explicit PermuteTable(const uint8_t* bytes)
      : lower{load_ints(bytes), load_ints(bytes + 64)},
        upper{load_ints(bytes + 128), load_ints(bytes + 192)} {}

  template <int kVectors>
  void look_up(Ints (&values)[kVectors]) const {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      // One load: the permutes overwrite their index, and the compiler would load the codes anew for each.
      asm("" : "+v"(values[v]));
      const Ints if_lower = _mm512_permutex2var_epi8(lower[0], values[v], lower[1]);
      const Ints if_upper = _mm512_permutex2var_epi8(upper[0], values[v], upper[1]);
      values[v] = _mm512_mask_mov_epi8(if_lower, _mm512_movepi8_mask(values[v]), if_upper);
    }
  }

  Ints lower[2], upper[2];
};

}  // namespace

const LookupKernels kLookupAvx512Vnni = {"avx512vnni",  kVectorLanes,       quantize_input,
                                         select_blocks, build_chunk<false>, add_rows<PermuteTable, 8>};

}  // namespace quantnoise::kernels

#endif
