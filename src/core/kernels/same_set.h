#pragma once
// Smaller tables beside the KernelTable follow its choice.

#include <string_view>

#include "quantnoise/kernels/kernel_table.h"

namespace quantnoise::kernels {

/// The table named like the set that kernel_table() chose; the first one when none is.
template <typename Table>
const Table& same_set(const Table& portable, const Table& avx2, const Table& avx512) {
  const std::string_view name = kernel_table().name;
  if (name == avx512.name) return avx512;
  return name == avx2.name ? avx2 : portable;
}

}  // namespace quantnoise::kernels
