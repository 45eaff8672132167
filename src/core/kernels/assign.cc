#include "core/kernels/kernel_functions.h"
#include "core/kernels/same_set.h"

namespace quantnoise::kernels {

const AssignKernels kAssignPortable = {"portable",
                                       portable::assign,
                                       portable::nearest_two,
                                       portable::nearest_by_group,
                                       portable::own_distance,
                                       portable::own_limit,
                                       portable::select_not_above,
                                       portable::accumulate};
#if QN_KERNELS_X86
const AssignKernels kAssignAvx2 = {
    "avx2",          avx2::assign,           avx2::nearest_two, avx2::nearest_by_group, avx2::own_distance,
    avx2::own_limit, avx2::select_not_above, avx2::accumulate};
const AssignKernels kAssignAvx512 = {"avx512",
                                     avx512::assign,
                                     avx512::nearest_two,
                                     avx512::nearest_by_group,
                                     avx512::own_distance,
                                     avx512::own_limit,
                                     avx512::select_not_above,
                                     avx512::accumulate};
#elif QN_KERNELS_NEON
const AssignKernels kAssignNeon = {
    "neon",          neon::assign,           neon::nearest_two, neon::nearest_by_group, neon::own_distance,
    neon::own_limit, neon::select_not_above, neon::accumulate};
#endif

const AssignKernels& assign_kernels() {
#if QN_KERNELS_X86
  static const AssignKernels& chosen = same_set(kAssignPortable, kAssignAvx2, kAssignAvx512);
#elif QN_KERNELS_NEON
  static const AssignKernels& chosen = same_set(kAssignPortable, kAssignNeon);
#else
  static const AssignKernels& chosen = kAssignPortable;
#endif
  return chosen;
}

}  // namespace quantnoise::kernels
