#include <ATen/Parallel.h>

#include "learn/nn/attention_pack.h"
#include "learn/nn/attention_tiles.h"
#include "learn/nn/block_gemm.h"

namespace quantnoise::nn::tiles {

namespace {

constexpr int64_t kTile = 64;

/// Gradients of one head. The sums for keys and values are kept transposed (dim × 64 a block), because then
/// the tile of probabilities, as it is computed, is the right operand of their products.
template <typename T>
class HeadBackward {
 public:
  explicit HeadBackward(const Problem& problem)
      : problem_(problem),
        kernel_(kernels::attention_kernels()),
        training_(kernels::attention_training_kernels()),
        num_blocks_(round_up(problem.num_keys, kBlock) / kBlock),
        padded_dim_(round_up(problem.dim, 16)),
        block_(block_elements(problem.dim)),
        k_transposed_(static_cast<size_t>(num_blocks_ * block_)),
        v_transposed_(k_transposed_.size()),
        k_rows_(k_transposed_.size()),
        k_sums_(k_transposed_.size()),
        v_sums_(k_transposed_.size()),
        q_left_(static_cast<size_t>(block_)),
        grad_left_(q_left_.size()),
        pack_scratch_(q_left_.size()),
        q_sums_(static_cast<size_t>(kTile * padded_dim_)),
        scores_(kTile * kBlock),
        gradients_(kTile * kBlock),
        factors_(problem.has_dropout ? kTile * kBlock : 0),
        delta_(kTile),
        score_pairs_(sizeof(T) == 2 ? kTile * kBlock : 0),
        gradient_pairs_(score_pairs_.size()),
        gradient_rows_(score_pairs_.size()) {}

  struct Inputs {
    const Operand<const T>& q;
    const Operand<const T>& k;
    const Operand<const T>& v;
    const Operand<const T>& out;
    const Operand<const T>& grad_out;
    const float* log_sum_exp;
  };

  void run(int64_t number, const Inputs& in, const Gradients<T>& gradients) {
    const int64_t batch = number / problem_.heads;
    const int64_t head = number % problem_.heads;
    pack_keys(in.k.head(batch, head), in.k.row_stride, in.v.head(batch, head), in.v.row_stride);
    set_bias(batch);
    std::fill(k_sums_.begin(), k_sums_.end(), 0.0f);
    std::fill(v_sums_.begin(), v_sums_.end(), 0.0f);
    for (int64_t first = 0; first < problem_.num_queries; first += kTile) {
      Tile tile;
      tile.first = first;
      tile.rows = std::min(kTile, problem_.num_queries - first);
      tile.number = number * problem_.num_queries + first;
      tile.q = in.q.head(batch, head) + first * in.q.row_stride;
      tile.q_stride = in.q.row_stride;
      tile.grad = in.grad_out.head(batch, head) + first * in.grad_out.row_stride;
      tile.grad_stride = in.grad_out.row_stride;
      tile.log_sum_exp = in.log_sum_exp + tile.number;
      set_delta(tile, in.out.head(batch, head) + first * in.out.row_stride, in.out.row_stride);
      run_tile(tile);
      write_rows(q_sums_.data(), tile.rows, problem_.scale,
                 gradients.q.head(batch, head) + first * gradients.q.row_stride, gradients.q.row_stride);
    }
    write_keys(k_sums_, problem_.scale, gradients.k.head(batch, head), gradients.k.row_stride);
    write_keys(v_sums_, 1.0f, gradients.v.head(batch, head), gradients.v.row_stride);
  }

 private:
  struct Tile {
    int64_t first = 0;
    int64_t rows = 0;
    int64_t number = 0;  ///< of the first query among all heads'
    const T* q = nullptr;
    int64_t q_stride = 0;
    const T* grad = nullptr;
    int64_t grad_stride = 0;
    const float* log_sum_exp = nullptr;
  };

  void pack_keys(const T* k, int64_t k_stride, const T* v, int64_t v_stride) {
    for (int64_t b = 0; b < num_blocks_; ++b) {
      const int64_t first = b * kBlock;
      const int64_t rows = std::min(kBlock, problem_.num_keys - first);
      pack_transposed(k + first * k_stride, k_stride, rows, problem_.dim, k_transposed_.data() + b * block_);
      pack_transposed(v + first * v_stride, v_stride, rows, problem_.dim, v_transposed_.data() + b * block_);
      pack_rows(k + first * k_stride, k_stride, rows, problem_.dim, k_rows_.data() + b * block_);
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

  void set_delta(const Tile& tile, const T* out, int64_t out_stride) {
    for (int64_t r = 0; r < tile.rows; ++r) {
      const T* grad = tile.grad + r * tile.grad_stride;
      float& delta = delta_[static_cast<size_t>(r)];
      if constexpr (std::is_same_v<T, float>) {
        delta = training_.dot_f32(grad, out + r * out_stride, problem_.dim);
      } else {
        delta = training_.dot_bf16(grad, out + r * out_stride, problem_.dim);
      }
    }
  }

  void run_tile(const Tile& tile) {
    pack_left_transposed(tile.q, tile.q_stride, tile.rows, problem_.dim, q_left_.data(),
                         pack_scratch_.data());
    pack_left_transposed(tile.grad, tile.grad_stride, tile.rows, problem_.dim, grad_left_.data(),
                         pack_scratch_.data());
    const int64_t blocks = round_up(problem_.visible_keys(tile.first + tile.rows - 1), kBlock) / kBlock;
    if (blocks == 0) std::fill(q_sums_.begin(), q_sums_.end(), 0.0f);
    for (int64_t b = 0; b < blocks; ++b) {
      block_gemm(tile.rows, kBlock, problem_.dim, tile.q, tile.q_stride, k_transposed_.data() + b * block_,
                 kBlock, scores_.data(), kBlock, false);
      block_gemm(tile.rows, kBlock, problem_.dim, tile.grad, tile.grad_stride,
                 v_transposed_.data() + b * block_, kBlock, gradients_.data(), kBlock, false);
      differentiate(tile, b);
      accumulate(tile, b);
    }
  }

  /// scores_ → dropped probabilities, gradients_ → gradients of the scaled scores.
  void differentiate(const Tile& tile, int64_t b) {
    if (problem_.has_dropout) {
      const auto draw = static_cast<uint64_t>(tile.number * problem_.num_keys + b * kBlock);
      kernels::dropout_kernels().multiplier_rows(
          problem_.draws, draw, static_cast<uint64_t>(problem_.num_keys), tile.rows, factors_.data());
    }
    kernels::SoftmaxBackwardRow row;
    row.bias = bias_.empty() ? nullptr : bias_.data() + b * kBlock;
    row.scale = problem_.scale;
    for (int64_t r = 0; r < tile.rows; ++r) {
      row.scores = scores_.data() + r * kBlock;
      row.gradients = gradients_.data() + r * kBlock;
      row.multipliers = problem_.has_dropout ? factors_.data() + r * kBlock : nullptr;
      row.num_keys = problem_.visible_keys(tile.first + r) - b * kBlock;
      row.log_sum_exp = tile.log_sum_exp[r];
      row.delta = delta_[static_cast<size_t>(r)];
      training_.softmax_backward_row(row);
    }
  }

  void accumulate(const Tile& tile, int64_t b) {
    const T* score_operand = right_operand(scores_.data(), tile.rows, score_pairs_);
    const T* gradient_operand = right_operand(gradients_.data(), tile.rows, gradient_pairs_);
    const int64_t inner = sizeof(T) == 2 ? round_up(tile.rows, 2) : tile.rows;
    block_gemm(problem_.dim, kBlock, inner, grad_left_.data(), kBlock, score_operand, kBlock,
               v_sums_.data() + b * block_, kBlock, true);
    block_gemm(problem_.dim, kBlock, inner, q_left_.data(), kBlock, gradient_operand, kBlock,
               k_sums_.data() + b * block_, kBlock, true);
    block_gemm(tile.rows, padded_dim_, kBlock, left_gradients(tile.rows), kBlock, k_rows_.data() + b * block_,
               padded_dim_, q_sums_.data(), padded_dim_, b > 0);
  }

  const T* right_operand(const float* block, int64_t rows, std::vector<T>& pairs) {
    if constexpr (std::is_same_v<T, float>) {
      return block;
    } else {
      static constexpr float kZeros[kBlock] = {};
      for (int64_t r = 0; r < rows; r += 2) {
        const float* second = r + 1 < rows ? block + (r + 1) * kBlock : kZeros;
        training_.pair_rows(block + r * kBlock, second, kBlock, pairs.data() + r * kBlock);
      }
      return pairs.data();
    }
  }

  const T* left_gradients(int64_t rows) {
    if constexpr (std::is_same_v<T, float>) {
      return gradients_.data();
    } else {
      training_.scale_bf16(gradients_.data(), rows * kBlock, 1.0f, gradient_rows_.data());
      return gradient_rows_.data();
    }
  }

  void write_rows(const float* from, int64_t rows, float factor, T* to, int64_t to_stride) {
    for (int64_t r = 0; r < rows; ++r) {
      if constexpr (std::is_same_v<T, float>) {
        kernel_.scale_f32(from + r * padded_dim_, problem_.dim, factor, to + r * to_stride);
      } else {
        training_.scale_bf16(from + r * padded_dim_, problem_.dim, factor, to + r * to_stride);
      }
    }
  }

  void write_keys(const std::vector<float>& sums, float factor, T* to, int64_t to_stride) {
    for (int64_t b = 0; b < num_blocks_; ++b) {
      const float* block = sums.data() + b * block_;
      kernel_.transpose(reinterpret_cast<const uint32_t*>(block), kBlock, problem_.dim, kBlock,
                        reinterpret_cast<uint32_t*>(q_sums_.data()), padded_dim_);
      const int64_t rows = std::min(kBlock, problem_.num_keys - b * kBlock);
      write_rows(q_sums_.data(), rows, factor, to + b * kBlock * to_stride, to_stride);
    }
  }

  const Problem& problem_;
  const kernels::AttentionKernels& kernel_;
  const kernels::AttentionTrainingKernels& training_;
  int64_t num_blocks_;
  int64_t padded_dim_;
  int64_t block_;
  std::vector<T> k_transposed_, v_transposed_, k_rows_;
  std::vector<float> k_sums_, v_sums_;
  std::vector<T> q_left_, grad_left_, pack_scratch_;
  std::vector<float> q_sums_, scores_, gradients_, factors_, delta_, bias_;
  std::vector<T> score_pairs_, gradient_pairs_, gradient_rows_;
};

}  // namespace

template <typename T>
void backward(const Problem& problem, const Operand<const T>& q, const Operand<const T>& k,
              const Operand<const T>& v, const Operand<const T>& out, const float* log_sum_exp,
              const Operand<const T>& grad_out, const Gradients<T>& gradients) {
  at::parallel_for(0, problem.batch * problem.heads, 1, [&](int64_t begin, int64_t end) {
    const BlockGemmScope scope;
    HeadBackward<T> head(problem);
    for (int64_t number = begin; number < end; ++number) {
      head.run(number, {q, k, v, out, grad_out, log_sum_exp}, gradients);
    }
  });
}

template void backward<float>(const Problem&, const Operand<const float>&, const Operand<const float>&,
                              const Operand<const float>&, const Operand<const float>&, const float*,
                              const Operand<const float>&, const Gradients<float>&);
template void backward<uint16_t>(const Problem&, const Operand<const uint16_t>&,
                                 const Operand<const uint16_t>&, const Operand<const uint16_t>&,
                                 const Operand<const uint16_t>&, const float*, const Operand<const uint16_t>&,
                                 const Gradients<uint16_t>&);

}  // namespace quantnoise::nn::tiles
