#pragma once
// Smaller tables beside the KernelTable follow its choice.

#include <string_view>

#include "quantnoise/kernels/kernel_table.h"

namespace quantnoise::kernels {

/// The table named like the set that kernel_table() chose; the first one when none is.
template <typename Table>
const Table& same_set(const Table& portable, const Table& avx2, const Table& avx512,
                      const Table& avx512vnni) {
  const std::string_view name = kernel_table().name;
  if (name == "avx512vnni") return avx512vnni;
  if (name == "avx512") return avx512;
  return name == "avx2" ? avx2 : portable;
}

/// For tables that gain nothing from VNNI and VBMI.
template <typename Table>
const Table& same_set(const Table& portable, const Table& avx2, const Table& avx512) {
  return same_set(portable, avx2, avx512, avx512);
}

}  // namespace quantnoise::kernels
