#if defined(__x86_64__)

#include "core/kernels/lookup_add.h"
#include "core/kernels/lookup_build.h"

namespace quantnoise::kernels {
namespace {

/// Byte permutes over two registers each: the lower and the upper half of the entries, one of them chosen by
/// the top bit of the code.
template <int kPlanes>
struct PermuteTable {
  explicit PermuteTable(const uint8_t* bytes) {
    for (int i = 0; i < 4 * kPlanes; ++i) quarters[i] = load_ints(bytes + 64 * i);
  }

  void add(Ints codes, EntrySums<kPlanes>& sums) const {
    const __mmask64 is_upper = _mm512_movepi8_mask(codes);
    for (int p = 0; p < kPlanes; ++p) {
      const Ints* of = quarters + 4 * p;
      const Ints lower = _mm512_permutex2var_epi8(of[0], codes, of[1]);
      const Ints upper = _mm512_permutex2var_epi8(of[2], codes, of[3]);
      sums.planes[p].add(_mm512_mask_mov_epi8(lower, is_upper, upper));
    }
  }

  Ints quarters[4 * kPlanes];
};

}  // namespace

const LookupKernels kLookupAvx512Vnni = {"avx512vnni", kVectorLanes, quantize_input, build_chunk<false>,
                                         add_rows<PermuteTable, 8>};

}  // namespace quantnoise::kernels

#endif
