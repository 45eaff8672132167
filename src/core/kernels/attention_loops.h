#pragma once
// The attention loops, compiled once for each instruction set.

#include "core/kernels/lanes.h"
#include "quantnoise/kernels/attention.h"

namespace quantnoise::kernels {
namespace {

constexpr int64_t kVectorsPerBlock = kKeyBlock / kLanes;

/// A kLanes × kLanes square by repeated perfect shuffles: log2(kLanes) rounds of zipping row i with row i +
/// kLanes/2.
inline void transpose_square(Words rows[kLanes]) {
  Words next[kLanes];
  for (int round = 1; round < kLanes; round *= 2) {
    for (int i = 0; i < kLanes / 2; ++i) {
      next[2 * i] = zip_low(rows[i], rows[i + kLanes / 2]);
      next[2 * i + 1] = zip_high(rows[i], rows[i + kLanes / 2]);
    }
    for (int i = 0; i < kLanes; ++i) rows[i] = next[i];
  }
}

inline void transpose(const uint32_t* in, int64_t in_stride, int64_t rows, int64_t cols, uint32_t* out,
                      int64_t out_stride) {
  for (int64_t r = 0; r < rows; r += kLanes) {
    const int64_t num_rows = rows - r < kLanes ? rows - r : kLanes;
    int64_t c = 0;
    for (; c + kLanes <= cols; c += kLanes) {
      Words square[kLanes];
      for (int64_t i = 0; i < kLanes; ++i) {
        square[i] = i < num_rows ? load_as<Words>(in + (r + i) * in_stride + c) : Words{};
      }
      transpose_square(square);
      for (int64_t i = 0; i < kLanes; ++i) store_as(out + (c + i) * out_stride + r, square[i]);
    }
    for (; c < cols; ++c) {
      for (int64_t i = 0; i < kLanes; ++i) {
        out[c * out_stride + r + i] = i < num_rows ? in[(r + i) * in_stride + c] : 0;
      }
    }
  }
}

/// Scores of keys the query does not see become -inf.
inline void hide_keys(float* block, int64_t first_hidden) {
  for (int64_t i = first_hidden < 0 ? 0 : first_hidden; i < kKeyBlock; ++i) block[i] = -__builtin_inff();
}

inline float scaled_maximum(const SoftmaxRow& row) {
  Floats best = broadcast(-__builtin_inff());
  for (int64_t b = 0; b < row.num_blocks; ++b) {
    float* block = row.scores + b * row.block_stride;
    if (row.num_keys < (b + 1) * kKeyBlock) hide_keys(block, row.num_keys - b * kKeyBlock);
    for (int64_t i = 0; i < kKeyBlock; i += kLanes) {
      Floats value = load(block + i) * row.scale;
      if (row.bias) {
        value += load(row.bias + b * kKeyBlock + i);
        store(block + i, value);
      }
      best = max_of(best, value);
    }
  }
  return max_lanes(best);
}

inline float softmax_row(const SoftmaxRow& row, float* inverse_sum) {
  const float maximum = scaled_maximum(row);
  const bool sees_none = maximum == -__builtin_inff();
  const float shift = sees_none ? 0.0f : maximum;
  const float scale = row.bias ? 1.0f : row.scale;
  Floats sums[2] = {};
  for (int64_t b = 0; b < row.num_blocks; ++b) {
    float* block = row.scores + b * row.block_stride;
    for (int64_t i = 0; i < kVectorsPerBlock; ++i) {
      const Floats value = exp_of(load(block + i * kLanes) * scale - shift);
      store(block + i * kLanes, value);
      sums[i % 2] += value;
    }
  }
  const float sum = sum_lanes(sums[0] + sums[1]);
  *inverse_sum = sees_none ? 0.0f : 1.0f / sum;
  return sees_none ? -__builtin_inff() : maximum + __builtin_logf(sum);
}

inline void softmax_backward_row(const SoftmaxBackwardRow& row) {
  if (row.num_keys < kKeyBlock) hide_keys(row.scores, row.num_keys);
  // A query that sees no key has log_sum_exp = -inf; all its scores are -inf too.
  const float shift = row.log_sum_exp == -__builtin_inff() ? 0.0f : row.log_sum_exp;
  for (int64_t i = 0; i < kKeyBlock; i += kLanes) {
    Floats score = load(row.scores + i) * row.scale;
    if (row.bias) score += load(row.bias + i);
    const Floats probability = exp_of(score - shift);
    Floats gradient = load(row.gradients + i);
    Floats dropped = probability;
    if (row.multipliers) {
      const Floats factor = load(row.multipliers + i);
      dropped *= factor;
      gradient *= factor;
    }
    store(row.scores + i, dropped);
    store(row.gradients + i, probability * (gradient - row.delta));
  }
}

template <typename Out>
inline void multiply_into(const float* in, const float* factors, int64_t count, Out* out) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(out + i, load(in + i) * load(factors + i));
  for (; i < count; ++i) store_one(out + i, in[i] * factors[i]);
}
inline void multiply_f32(const float* in, const float* factors, int64_t count, float* out) {
  multiply_into(in, factors, count, out);
}
inline void multiply_bf16(const float* in, const float* factors, int64_t count, uint16_t* out) {
  multiply_into(in, factors, count, out);
}

template <typename Out>
inline void scale_into(const float* in, int64_t count, float factor, Out* out) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(out + i, load(in + i) * factor);
  for (; i < count; ++i) store_one(out + i, in[i] * factor);
}
inline void scale_f32(const float* in, int64_t count, float factor, float* out) {
  scale_into(in, count, factor, out);
}
inline void scale_bf16(const float* in, int64_t count, float factor, uint16_t* out) {
  scale_into(in, count, factor, out);
}

template <typename In>
inline float dot_of(const In* a, const In* b, int64_t count) {
  Floats sums{};
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) sums += load(a + i) * load(b + i);
  float sum = sum_lanes(sums);
  for (; i < count; ++i) sum += load_one(a + i) * load_one(b + i);
  return sum;
}
inline float dot_f32(const float* a, const float* b, int64_t count) { return dot_of(a, b, count); }
inline float dot_bf16(const uint16_t* a, const uint16_t* b, int64_t count) { return dot_of(a, b, count); }

inline void pair_rows(const float* row0, const float* row1, int64_t count, uint16_t* out) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    store_as(out + 2 * i, bf16_bits(load(row0 + i)) | (bf16_bits(load(row1 + i)) << 16));
  }
  for (; i < count; ++i) {
    store_one(out + 2 * i, row0[i]);
    store_one(out + 2 * i + 1, row1[i]);
  }
}

inline void pair_rows_bf16(const uint16_t* row0, const uint16_t* row1, int64_t count, uint16_t* out) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    const Words low = __builtin_convertvector(load_as<Halves>(row0 + i), Words);
    const Words high = row1 ? __builtin_convertvector(load_as<Halves>(row1 + i), Words) : Words{};
    store_as(out + 2 * i, low | (high << 16));
  }
  for (; i < count; ++i) {
    out[2 * i] = row0[i];
    out[2 * i + 1] = row1 ? row1[i] : uint16_t{0};
  }
}

/// kRows rows of a times kVectors · kLanes columns of b.
template <int kRows, int kVectors>
inline void gemm_tile(int64_t k, const float* a, int64_t lda, const float* b, int64_t ldb, float* c,
                      int64_t ldc, bool accumulate) {
  Floats sums[kRows][kVectors];
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) sums[r][v] = accumulate ? load(c + r * ldc + v * kLanes) : Floats{};
  }
  for (int64_t i = 0; i < k; ++i) {
    for (int v = 0; v < kVectors; ++v) {
      const Floats right = load(b + i * ldb + v * kLanes);
      for (int r = 0; r < kRows; ++r) sums[r][v] += right * a[r * lda + i];
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) store(c + r * ldc + v * kLanes, sums[r][v]);
  }
}

/// Four rows and 16 columns at a time, of single rows 64 columns: additions that do not wait for each other.
inline void gemm(int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b, int64_t ldb,
                 float* c, int64_t ldc, bool accumulate) {
  constexpr int kNarrow = 16 / kLanes, kWide = 64 / kLanes;
  const int64_t num_fours = m / 4 * 4;
  for (int64_t column = 0; column < n; column += 16) {
    for (int64_t row = 0; row < num_fours; row += 4) {
      gemm_tile<4, kNarrow>(k, a + row * lda, lda, b + column, ldb, c + row * ldc + column, ldc, accumulate);
    }
  }
  for (int64_t row = num_fours; row < m; ++row) {
    const float* left = a + row * lda;
    float* to = c + row * ldc;
    int64_t column = 0;
    for (; column + 64 <= n; column += 64)
      gemm_tile<1, kWide>(k, left, lda, b + column, ldb, to + column, ldc, accumulate);
    for (; column < n; column += 16)
      gemm_tile<1, kNarrow>(k, left, lda, b + column, ldb, to + column, ldc, accumulate);
  }
}

inline constexpr AttentionKernels attention_set(const char* name) {
  return {name, transpose, softmax_row, scale_f32, gemm};
}

inline constexpr AttentionTrainingKernels attention_training_set(const char* name) {
  return {name,      softmax_backward_row, multiply_f32, multiply_bf16, scale_bf16, dot_f32, dot_bf16,
          pair_rows, pair_rows_bf16};
}

}  // namespace
}  // namespace quantnoise::kernels
