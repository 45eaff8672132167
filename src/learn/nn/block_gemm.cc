#include "learn/nn/block_gemm.h"

#include <ATen/native/CPUBlas.h>

#include <exception>

#include "quantnoise/kernels/attention.h"

namespace quantnoise::nn {

namespace blas = at::native::cpublas;

namespace {

constexpr int64_t kProbe = 16;

/// The library throws for types and machines its block kernels do not know; ask once, and check what comes
/// out.
template <typename T>
bool library_multiplies_blocks(T one) {
  const std::vector<T> ones(kProbe * kProbe, one);
  std::vector<float> product(kProbe * kProbe, 0.0f);
  try {
    const bool pairs = sizeof(T) == 2;
    blas::brgemm(kProbe, kProbe, kProbe, kProbe, kProbe, kProbe, false, ones.data(), ones.data(),
                 product.data(), pairs);
  } catch (const std::exception&) {
    return false;
  }
  for (const float value : product) {
    if (value != static_cast<float>(kProbe)) return false;
  }
  return true;
}

bool library_has_f32() {
  static const bool has = library_multiplies_blocks(1.0f);
  return has;
}

}  // namespace

bool block_gemm_has_bf16() {
  static const bool has = library_multiplies_blocks(at::BFloat16(1.0f));
  return has;
}

void block_gemm(int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b, int64_t ldb,
                float* c, int64_t ldc, bool accumulate) {
  if (library_has_f32()) {
    blas::brgemm(m, n, k, lda, ldb, ldc, accumulate, a, b, c);
  } else {
    kernels::attention_kernels().gemm(m, n, k, a, lda, b, ldb, c, ldc, accumulate);
  }
}

void block_gemm(int64_t m, int64_t n, int64_t k, const uint16_t* a, int64_t lda, const uint16_t* b,
                int64_t ldb, float* c, int64_t ldc, bool accumulate) {
  blas::brgemm(m, n, k, lda, ldb, ldc, accumulate, reinterpret_cast<const at::BFloat16*>(a),
               reinterpret_cast<const at::BFloat16*>(b), c, true);
}

BlockGemmScope::~BlockGemmScope() {
  if (block_gemm_has_bf16()) blas::brgemm_release();
}

}  // namespace quantnoise::nn
