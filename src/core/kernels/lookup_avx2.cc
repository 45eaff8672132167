#if defined(__x86_64__)

#include "core/kernels/lookup_build.h"
#include "core/kernels/lookup_shuffle.h"

namespace quantnoise::kernels {

const LookupKernels kLookupAvx2 = {"avx2",        kVectorLanes,      quantize_input,
                                   select_blocks, build_chunk<true>, add_rows<ShuffleTable, 4>};

}  // namespace quantnoise::kernels

#endif
