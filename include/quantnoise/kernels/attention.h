#pragma once
// Inner loops of tiled softmax attention: transposing copies, a row of the softmax and its gradient, bf16
// packing, and a small matrix product for machines whose library has none. Ranges only, no threads. bf16
// values are passed as their bits.

#include <cstdint>

namespace quantnoise::kernels {

/// Keys are taken in blocks of this many: the scores of a query row lie 64 by 64, `block_stride` apart.
constexpr int64_t kKeyBlock = 64;

/// One row of scores on its way to probabilities.
struct SoftmaxRow {
  float* scores = nullptr;   ///< of block b: scores + b · block_stride, 64 of them
  int64_t block_stride = 0;  ///< in elements
  int64_t num_blocks = 0;
  int64_t num_keys = 0;  ///< keys this query sees; scores beyond become 0
  float scale = 1;
  const float* bias = nullptr;  ///< added after scaling, 64 · num_blocks values (0 or -inf); may be null
};

/// One row within one block of keys in the backward pass.
struct SoftmaxBackwardRow {
  float* scores = nullptr;     ///< in: 64 scores; out: probabilities after dropout
  float* gradients = nullptr;  ///< in: 64 gradients of the dropped probabilities; out: of the scaled scores
  const float* multipliers = nullptr;  ///< 64 dropout factors; null: none
  const float* bias = nullptr;         ///< 64 values; null: none
  int64_t num_keys = 0;                ///< of these 64, how many the query sees
  float scale = 1;
  float log_sum_exp = 0;
  float delta = 0;  ///< Σ gradient · output of this query
};

/// What every attention does.
struct AttentionKernels {
  const char* name;

  /// out[c · out_stride + r] = in[r · in_stride + c] for r < rows, c < cols (32-bit elements); r up to the
  /// next multiple of 16 beyond `rows` may be filled with zeros, so out_stride must be a multiple of 16.
  void (*transpose)(const uint32_t* in, int64_t in_stride, int64_t rows, int64_t cols, uint32_t* out,
                    int64_t out_stride);

  /// scores ← e^(scale · score + bias − max); returns the log of their sum plus max (−inf when no key is
  /// seen) and writes 1/sum (0 when no key is seen) to *inverse_sum.
  float (*softmax_row)(const SoftmaxRow& row, float* inverse_sum);

  /// out = factor · in
  void (*scale_f32)(const float* in, int64_t count, float factor, float* out);
  /// c (m × n) = a (m × k) · b (k × n), or added to c. n a multiple of 16.
  void (*gemm)(int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b, int64_t ldb,
               float* c, int64_t ldc, bool accumulate);
};

/// What the gradient and bf16 need beside.
struct AttentionTrainingKernels {
  const char* name;

  void (*softmax_backward_row)(const SoftmaxBackwardRow& row);

  /// out[i] = in[i] · factors[i]
  void (*multiply_f32)(const float* in, const float* factors, int64_t count, float* out);
  void (*multiply_bf16)(const float* in, const float* factors, int64_t count, uint16_t* out);
  /// out = factor · in
  void (*scale_bf16)(const float* in, int64_t count, float factor, uint16_t* out);
  /// Σ a[i] · b[i], fp32.
  float (*dot_f32)(const float* a, const float* b, int64_t count);
  float (*dot_bf16)(const uint16_t* a, const uint16_t* b, int64_t count);
  /// out[2i] = bf16(row0[i]), out[2i + 1] = bf16(row1[i]): how bf16 products want two rows of their right
  /// operand.
  void (*pair_rows)(const float* row0, const float* row1, int64_t count, uint16_t* out);
  /// The same for rows that are bf16 already; row1 may be null: zeros.
  void (*pair_rows_bf16)(const uint16_t* row0, const uint16_t* row1, int64_t count, uint16_t* out);
};

extern const AttentionKernels kAttentionPortable;
extern const AttentionTrainingKernels kAttentionTrainingPortable;
#if defined(__x86_64__)
extern const AttentionKernels kAttentionAvx2;
extern const AttentionKernels kAttentionAvx512;
extern const AttentionTrainingKernels kAttentionTrainingAvx2;
extern const AttentionTrainingKernels kAttentionTrainingAvx512;
#endif

// Of the set in use.
const AttentionKernels& attention_kernels();
const AttentionTrainingKernels& attention_training_kernels();

}  // namespace quantnoise::kernels
