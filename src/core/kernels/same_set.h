#pragma once
// The table of a purpose for the set in use.

#include <string_view>

#include "quantnoise/kernels/instruction_set.h"

namespace quantnoise::kernels {

/// The table named like the set in use.
template <typename Table>
const Table& same_set(const Table& portable, const Table& avx2, const Table& avx512,
                      const Table& avx512vnni) {
  const std::string_view name = instruction_set().name;
  if (name == "avx512vnni") return avx512vnni;
  if (name == "avx512") return avx512;
  return name == "avx2" ? avx2 : portable;
}

/// For purposes that gain nothing from VNNI and VBMI.
template <typename Table>
const Table& same_set(const Table& portable, const Table& avx2, const Table& avx512) {
  return same_set(portable, avx2, avx512, avx512);
}

template <typename Table>
const Table& same_set(const Table& portable, const Table& neon) {
  return std::string_view(instruction_set().name) == "neon" ? neon : portable;
}

}  // namespace quantnoise::kernels
