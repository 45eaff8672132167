#include "quantnoise/nn/attention.h"

#include "learn/nn/attention_tiles.h"
#include "learn/nn/block_gemm.h"
#include "learn/nn/element_passes.h"
#include "quantnoise/base/error.h"

namespace quantnoise::nn {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

template <typename T>
tiles::Operand<T> operand(const at::Tensor& tensor) {
  return {static_cast<T*>(tensor.data_ptr()), tensor.stride(0), tensor.stride(1), tensor.stride(2)};
}

template <typename T>
tiles::Operand<const T> const_operand(const at::Tensor& tensor) {
  return {static_cast<const T*>(tensor.const_data_ptr()), tensor.stride(0), tensor.stride(1),
          tensor.stride(2)};
}

/// Rows must be contiguous, and pairs of bf16 values must lie in one 32-bit word.
at::Tensor with_plain_rows(const at::Tensor& tensor) {
  const bool pairs = tensor.scalar_type() != at::kBFloat16 ||
                     (tensor.stride(0) % 2 == 0 && tensor.stride(1) % 2 == 0 && tensor.stride(2) % 2 == 0 &&
                      reinterpret_cast<uintptr_t>(tensor.const_data_ptr()) % 4 == 0);
  return tensor.stride(3) == 1 && pairs ? tensor : tensor.contiguous();
}

/// (batch, heads, T, dim), laid out as (batch, T, heads, dim): what the next Linear reads is contiguous.
at::Tensor empty_like_heads(const at::Tensor& q, int64_t dim) {
  return at::empty({q.size(0), q.size(2), q.size(1), dim}, q.options()).transpose(1, 2);
}

tiles::Problem make_problem(const at::Tensor& q, const at::Tensor& k, bool causal, double dropout,
                            const base::RandomStream& stream, const at::Tensor& key_padding_mask) {
  tiles::Problem problem;
  problem.batch = q.size(0);
  problem.heads = q.size(1);
  problem.num_queries = q.size(2);
  problem.dim = q.size(3);
  problem.num_keys = k.size(2);
  problem.causal = causal;
  problem.has_dropout = dropout > 0;
  if (problem.has_dropout) problem.draws = kernels::dropout_draws(stream, dropout);
  if (key_padding_mask.defined()) problem.key_padding_mask = key_padding_mask.const_data_ptr<bool>();
  problem.scale = 1.0f / std::sqrt(static_cast<float>(problem.dim));
  return problem;
}

struct TiledAttention : public torch::autograd::Function<TiledAttention> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& q_in, const at::Tensor& k_in,
                            const at::Tensor& v_in, bool causal, double dropout,
                            const base::RandomStream& stream,
                            const std::optional<at::Tensor>& optional_mask) {
    const at::Tensor key_padding_mask = optional_mask.value_or(at::Tensor());
    const at::Tensor q = with_plain_rows(q_in), k = with_plain_rows(k_in), v = with_plain_rows(v_in);
    const tiles::Problem problem = make_problem(q, k, causal, dropout, stream, key_padding_mask);
    const at::Tensor out = empty_like_heads(q, problem.dim);
    const at::Tensor log_sum_exp =
        at::empty({q.size(0), q.size(1), q.size(2)}, q.options().dtype(at::kFloat));
    if (q.scalar_type() == at::kFloat) {
      run_forward<float>(problem, q, k, v, out, log_sum_exp);
    } else {
      run_forward<uint16_t>(problem, q, k, v, out, log_sum_exp);
    }
    context->save_for_backward({q, k, v, out, log_sum_exp, key_padding_mask});
    context->saved_data["causal"] = causal;
    context->saved_data["dropout"] = dropout;
    context->saved_data["stream"] = stream_words(stream);
    return out;
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const variable_list saved = context->get_saved_variables();
    const base::RandomStream stream = stream_from_words(context->saved_data["stream"].toIntVector());
    const tiles::Problem problem = make_problem(saved[0], saved[1], context->saved_data["causal"].toBool(),
                                                context->saved_data["dropout"].toDouble(), stream, saved[5]);
    const at::Tensor grad = with_plain_rows(grads[0]);
    const at::Tensor grad_q = empty_like_heads(saved[0], problem.dim);
    const at::Tensor grad_k = empty_like_heads(saved[1], problem.dim);
    const at::Tensor grad_v = empty_like_heads(saved[2], problem.dim);
    if (grad.scalar_type() == at::kFloat) {
      run_backward<float>(problem, saved, grad,
                          {operand<float>(grad_q), operand<float>(grad_k), operand<float>(grad_v)});
    } else {
      run_backward<uint16_t>(
          problem, saved, grad,
          {operand<uint16_t>(grad_q), operand<uint16_t>(grad_k), operand<uint16_t>(grad_v)});
    }
    return {grad_q, grad_k, grad_v, {}, {}, {}, {}};
  }

 private:
  template <typename T>
  static void run_forward(const tiles::Problem& problem, const at::Tensor& q, const at::Tensor& k,
                          const at::Tensor& v, const at::Tensor& out, const at::Tensor& log_sum_exp) {
    tiles::forward<T>(problem, const_operand<T>(q), const_operand<T>(k), const_operand<T>(v), operand<T>(out),
                      log_sum_exp.mutable_data_ptr<float>());
  }

  template <typename T>
  static void run_backward(const tiles::Problem& problem, const variable_list& saved, const at::Tensor& grad,
                           const tiles::Gradients<T>& gradients) {
    tiles::backward<T>(problem, const_operand<T>(saved[0]), const_operand<T>(saved[1]),
                       const_operand<T>(saved[2]), const_operand<T>(saved[3]),
                       saved[4].const_data_ptr<float>(), const_operand<T>(grad), gradients);
  }
};

void check_shapes(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& mask) {
  QN_REQUIRE(q.dim() == 4 && k.sizes() == v.sizes() && k.dim() == 4 && q.size(0) == k.size(0) &&
                 q.size(1) == k.size(1) && q.size(3) == k.size(3),
             ErrorKind::kData, "attention: found queries ", q.sizes(), ", keys ", k.sizes(), ", values ",
             v.sizes(), ", expected (batch, heads, T, head_dim) that agree");
  QN_REQUIRE(q.scalar_type() == k.scalar_type() && k.scalar_type() == v.scalar_type() &&
                 (q.scalar_type() == at::kFloat || q.scalar_type() == at::kBFloat16),
             ErrorKind::kData, "attention: found types ", q.scalar_type(), ", ", k.scalar_type(), ", ",
             v.scalar_type(), ", expected float or bfloat16 for all");
  QN_REQUIRE(!mask.defined() || (mask.dim() == 2 && mask.size(0) == k.size(0) && mask.size(1) == k.size(2)),
             ErrorKind::kData, "attention: found a key padding mask ", mask.sizes(), ", expected ", k.size(0),
             " × ", k.size(2));
}

// Below this the packing of keys and values for block products costs more than the products: generation.
constexpr int64_t kFewQueries = 8;

/// Torch's fused kernel knows no dropout and no padding, its is_causal means that queries are the first
/// positions, and it is slower than ours on the CPU except for few queries.
bool prefer_torch(const at::Tensor& q, const at::Tensor& k, bool causal, double dropout,
                  const at::Tensor& mask) {
  if (dropout > 0 || mask.defined()) return false;
  if (causal && q.size(2) != k.size(2) && q.size(2) != 1) return false;
  return !q.is_cpu() || q.size(2) < kFewQueries;
}

}  // namespace

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, bool causal,
                     double dropout, const base::RandomStream& stream, const at::Tensor& key_padding_mask) {
  check_shapes(q, k, v, key_padding_mask);
  QN_REQUIRE(dropout >= 0 && dropout <= 1, ErrorKind::kConfig, "attention dropout: found ", dropout,
             ", expected 0 to 1");
  if (prefer_torch(q, k, causal, dropout, key_padding_mask)) {
    return at::scaled_dot_product_attention(q, k, v, {}, 0.0, causal && q.size(2) > 1);
  }
  QN_REQUIRE(q.is_cpu(), ErrorKind::kUnsupported,
             "attention with dropout or a padding mask: found tensors on ", q.device(), ", expected the CPU");
  std::optional<at::Tensor> mask;
  if (key_padding_mask.defined()) mask = key_padding_mask.to(at::kBool).contiguous();
  if (q.scalar_type() == at::kBFloat16 && (q.size(3) % 2 != 0 || !block_gemm_has_bf16())) {
    return TiledAttention::apply(q.to(at::kFloat), k.to(at::kFloat), v.to(at::kFloat), causal, dropout,
                                 stream, mask)
        .to(at::kBFloat16);
  }
  return TiledAttention::apply(q, k, v, causal, dropout, stream, mask);
}

}  // namespace quantnoise::nn
