#include <ATen/Parallel.h>

#include "learn/nn/attention_pack.h"
#include "learn/nn/attention_tiles.h"
#include "learn/nn/block_gemm.h"

namespace quantnoise::nn::tiles {

namespace {

// The scores of a tile stay in the second-level cache: fewer queries for long rows.
int64_t queries_in_tile(int64_t num_keys) { return num_keys > 1024 ? 32 : 64; }

/// What one thread needs for a head.
template <typename T>
class HeadForward {
 public:
  explicit HeadForward(const Problem& problem)
      : problem_(problem),
        kernel_(kernels::attention_kernels()),
        training_(kernels::attention_training_kernels()),
        num_blocks_(round_up(problem.num_keys, kBlock) / kBlock),
        tile_(queries_in_tile(problem.num_keys)),
        padded_dim_(round_up(problem.dim, 16)),
        packed_k_(static_cast<size_t>(num_blocks_ * block_elements(problem.dim))),
        packed_v_(packed_k_.size()),
        scores_(static_cast<size_t>(num_blocks_ * tile_ * kBlock)),
        factors_(problem.has_dropout ? static_cast<size_t>(tile_ * kBlock) : 0),
        probabilities_(static_cast<size_t>(tile_ * kBlock)),
        sums_(static_cast<size_t>(tile_ * padded_dim_)),
        inverse_(static_cast<size_t>(tile_)) {}

  void run(int64_t number, const Operand<const T>& q, const Operand<const T>& k, const Operand<const T>& v,
           const Operand<T>& out, float* log_sum_exp) {
    const int64_t batch = number / problem_.heads;
    const int64_t head = number % problem_.heads;
    pack(k.head(batch, head), k.row_stride, v.head(batch, head), v.row_stride);
    set_bias(batch);
    for (int64_t first = 0; first < problem_.num_queries; first += tile_) {
      const int64_t rows = std::min(tile_, problem_.num_queries - first);
      const int64_t blocks = round_up(problem_.visible_keys(first + rows - 1), kBlock) / kBlock;
      const int64_t query = number * problem_.num_queries + first;
      score(q.head(batch, head) + first * q.row_stride, q.row_stride, rows, blocks);
      normalize(first, rows, blocks, log_sum_exp + query);
      combine(query, rows, blocks);
      T* to = out.head(batch, head) + first * out.row_stride;
      for (int64_t r = 0; r < rows; ++r) write_row(r, blocks, to + r * out.row_stride);
    }
  }

 private:
  void pack(const T* k, int64_t k_stride, const T* v, int64_t v_stride) {
    for (int64_t b = 0; b < num_blocks_; ++b) {
      const int64_t first = b * kBlock;
      const int64_t rows = std::min(kBlock, problem_.num_keys - first);
      const int64_t at = b * block_elements(problem_.dim);
      pack_transposed(k + first * k_stride, k_stride, rows, problem_.dim, packed_k_.data() + at);
      pack_rows(v + first * v_stride, v_stride, rows, problem_.dim, packed_v_.data() + at);
    }
  }

  void set_bias(int64_t batch) {
    if (!problem_.key_padding_mask) return;
    bias_.assign(static_cast<size_t>(num_blocks_ * kBlock), 0.0f);
    const bool* ignored = problem_.key_padding_mask + batch * problem_.num_keys;
    for (int64_t i = 0; i < problem_.num_keys; ++i) {
      if (ignored[i]) bias_[static_cast<size_t>(i)] = -std::numeric_limits<float>::infinity();
    }
  }

  void score(const T* q, int64_t q_stride, int64_t rows, int64_t blocks) {
    for (int64_t b = 0; b < blocks; ++b) {
      block_gemm(rows, kBlock, problem_.dim, q, q_stride, packed_k_.data() + b * block_elements(problem_.dim),
                 kBlock, scores_.data() + b * tile_ * kBlock, kBlock, false);
    }
  }

  void normalize(int64_t first, int64_t rows, int64_t blocks, float* log_sum_exp) {
    kernels::SoftmaxRow row;
    row.block_stride = tile_ * kBlock;
    row.num_blocks = blocks;
    row.scale = problem_.scale;
    row.bias = bias_.empty() ? nullptr : bias_.data();
    for (int64_t r = 0; r < rows; ++r) {
      row.scores = scores_.data() + r * kBlock;
      row.num_keys = problem_.visible_keys(first + r);
      log_sum_exp[r] = kernel_.softmax_row(row, &inverse_[static_cast<size_t>(r)]);
    }
  }

  /// sums_ = dropped probabilities · values. query: number of the tile's first query among all heads'.
  void combine(int64_t query, int64_t rows, int64_t blocks) {
    for (int64_t b = 0; b < blocks; ++b) {
      float* block = scores_.data() + b * tile_ * kBlock;
      if (problem_.has_dropout) {
        const auto draw = static_cast<uint64_t>(query * problem_.num_keys + b * kBlock);
        kernels::dropout_kernels().multiplier_rows(
            problem_.draws, draw, static_cast<uint64_t>(problem_.num_keys), rows, factors_.data());
      }
      block_gemm(rows, padded_dim_, kBlock, finished(block, rows * kBlock), kBlock,
                 packed_v_.data() + b * block_elements(problem_.dim), padded_dim_, sums_.data(), padded_dim_,
                 b > 0);
    }
  }

  /// The block's probabilities after dropout, in T.
  const T* finished(float* block, int64_t count) {
    if constexpr (std::is_same_v<T, float>) {
      if (problem_.has_dropout) training_.multiply_f32(block, factors_.data(), count, block);
      return block;
    } else {
      if (problem_.has_dropout) {
        training_.multiply_bf16(block, factors_.data(), count, probabilities_.data());
      } else {
        training_.scale_bf16(block, count, 1.0f, probabilities_.data());
      }
      return probabilities_.data();
    }
  }

  void write_row(int64_t r, int64_t blocks, T* to) {
    if (blocks == 0)
      return static_cast<void>(std::memset(to, 0, static_cast<size_t>(problem_.dim) * sizeof(T)));
    const float* from = sums_.data() + r * padded_dim_;
    const float factor = inverse_[static_cast<size_t>(r)];
    if constexpr (std::is_same_v<T, float>) {
      kernel_.scale_f32(from, problem_.dim, factor, to);
    } else {
      training_.scale_bf16(from, problem_.dim, factor, to);
    }
  }

  const Problem& problem_;
  const kernels::AttentionKernels& kernel_;
  const kernels::AttentionTrainingKernels& training_;
  int64_t num_blocks_;
  int64_t tile_;
  int64_t padded_dim_;
  std::vector<T> packed_k_;
  std::vector<T> packed_v_;
  std::vector<float> scores_;
  std::vector<float> factors_;
  std::vector<T> probabilities_;
  std::vector<float> sums_;
  std::vector<float> inverse_;
  std::vector<float> bias_;
};

}  // namespace

template <typename T>
void forward(const Problem& problem, const Operand<const T>& q, const Operand<const T>& k,
             const Operand<const T>& v, const Operand<T>& out, float* log_sum_exp) {
  at::parallel_for(0, problem.batch * problem.heads, 1, [&](int64_t begin, int64_t end) {
    const BlockGemmScope scope;
    HeadForward<T> head(problem);
    for (int64_t number = begin; number < end; ++number) head.run(number, q, k, v, out, log_sum_exp);
  });
}

template void forward<float>(const Problem&, const Operand<const float>&, const Operand<const float>&,
                             const Operand<const float>&, const Operand<float>&, float*);
template void forward<uint16_t>(const Problem&, const Operand<const uint16_t>&,
                                const Operand<const uint16_t>&, const Operand<const uint16_t>&,
                                const Operand<uint16_t>&, float*);

}  // namespace quantnoise::nn::tiles
