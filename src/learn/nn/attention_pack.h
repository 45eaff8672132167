#pragma once
// Layouts of one head's rows as operands of block products. T: float, or uint16_t for bf16 bits; bf16 right
// operands go in pairs of rows (block_gemm.h).

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "quantnoise/kernels/attention.h"

namespace quantnoise::nn::tiles {

constexpr int64_t kBlock = kernels::kKeyBlock;

inline int64_t round_up(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

/// Elements of one block in any of the layouts below.
inline int64_t block_elements(int64_t dim) { return round_up(dim, 16) * kBlock; }

/// Right operand of rows · blockᵀ: (dim × 64), columns beyond num_rows zero.
template <typename T>
void pack_transposed(const T* rows, int64_t row_stride, int64_t num_rows, int64_t dim, T* out) {
  const auto& kernel = kernels::attention_kernels();
  const int64_t words = sizeof(T) == 4 ? 1 : 2;
  if (num_rows < kBlock) std::memset(out, 0, static_cast<size_t>(dim * kBlock) * sizeof(T));
  kernel.transpose(reinterpret_cast<const uint32_t*>(rows), row_stride / words, num_rows, dim / words,
                   reinterpret_cast<uint32_t*>(out), kBlock);
}

/// Right operand of probabilities · block: (64 × round_up(dim, 16)), rows beyond num_rows zero.
template <typename T>
void pack_rows(const T* rows, int64_t row_stride, int64_t num_rows, int64_t dim, T* out) {
  const int64_t stride = round_up(dim, 16);
  if (num_rows < kBlock || stride != dim) {
    std::memset(out, 0, static_cast<size_t>(stride * kBlock) * sizeof(T));
  }
  if constexpr (std::is_same_v<T, float>) {
    for (int64_t r = 0; r < num_rows; ++r) {
      std::memcpy(out + r * stride, rows + r * row_stride, static_cast<size_t>(dim) * sizeof(T));
    }
  } else {
    for (int64_t r = 0; r < num_rows; r += 2) {
      const T* second = r + 1 < num_rows ? rows + (r + 1) * row_stride : nullptr;
      kernels::attention_training_kernels().pair_rows_bf16(rows + r * row_stride, second, dim,
                                                           out + r * stride);
    }
  }
}

/// Left operand blockᵀ: (dim × 64) row-major, columns beyond num_rows zero. scratch: block_elements(dim) of
/// T.
template <typename T>
void pack_left_transposed(const T* rows, int64_t row_stride, int64_t num_rows, int64_t dim, T* out,
                          T* scratch) {
  if constexpr (std::is_same_v<T, float>) {
    pack_transposed(rows, row_stride, num_rows, dim, out);
  } else {
    // A pair of rows is one 32-bit element of the transposing copy.
    const int64_t stride = round_up(dim, 16);
    pack_rows(rows, row_stride, num_rows, dim, scratch);
    kernels::attention_kernels().transpose(reinterpret_cast<const uint32_t*>(scratch), stride, kBlock / 2,
                                           dim, reinterpret_cast<uint32_t*>(out), kBlock / 2);
  }
}

}  // namespace quantnoise::nn::tiles
