#pragma once
// Products of small blocks by one thread, for loops that bring their own parallelism. LibTorch's block
// kernels (oneDNN) reach twice the speed of its batched products; where they are missing our own kernel steps
// in.

#include <torch/torch.h>

#include <cstdint>

namespace quantnoise::nn {

/// Whether bf16 blocks are multiplied natively here; without it callers compute in fp32.
bool block_gemm_has_bf16();

/// c (m × n, fp32) = a (m × k) · b (k × n), or added to c. n: a multiple of 16.
void block_gemm(int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b, int64_t ldb,
                float* c, int64_t ldc, bool accumulate);

/// bf16 bits; b in pairs of rows: element (i, j) at b[(i / 2 · ldb + j) · 2 + i % 2]. k even.
void block_gemm(int64_t m, int64_t n, int64_t k, const uint16_t* a, int64_t lda, const uint16_t* b,
                int64_t ldb, float* c, int64_t ldc, bool accumulate);

/// Gives matrix units back to the system after a thread's last bf16 block.
class BlockGemmScope {
 public:
  BlockGemmScope() = default;
  ~BlockGemmScope();
  BlockGemmScope(const BlockGemmScope&) = delete;
  BlockGemmScope& operator=(const BlockGemmScope&) = delete;
};

}  // namespace quantnoise::nn
