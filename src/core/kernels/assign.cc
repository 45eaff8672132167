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
