#pragma once
// Rows of a dense weight times one vector, in fp32: as fast as memory gives the rows. Ranges only, no
// threads. Sets differ in the order of additions.

#include <cstdint>

namespace quantnoise::kernels {

/// Elements: fp32, or the bits of fp16 or bf16; rows lie one after the other.
template <typename Element>
struct DenseRows {
  const Element* values = nullptr;  ///< (num_rows, cols)
  int64_t num_rows = 0;
  int64_t cols = 0;
};

struct DenseProductKernels {
  const char* name;
  /// out (num_rows) = rows · x; x: (cols)
  void (*multiply_f32)(const DenseRows<float>& rows, const float* x, float* out) noexcept;
  void (*multiply_f16)(const DenseRows<uint16_t>& rows, const float* x, float* out) noexcept;
  void (*multiply_bf16)(const DenseRows<uint16_t>& rows, const float* x, float* out) noexcept;
  /// Exactly, as fp32.
  void (*widen_f16)(const uint16_t* from, int64_t count, float* out) noexcept;
  void (*widen_bf16)(const uint16_t* from, int64_t count, float* out) noexcept;
};

extern const DenseProductKernels kDenseProductPortable;
#if defined(__x86_64__)
extern const DenseProductKernels kDenseProductAvx2;
extern const DenseProductKernels kDenseProductAvx512;
#endif

/// Of the set in use.
const DenseProductKernels& dense_product_kernels();

}  // namespace quantnoise::kernels
